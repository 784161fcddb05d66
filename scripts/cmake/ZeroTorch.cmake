# Looks for LibTorch: headers, libtorch_cpu and libc10, where ZERO_TORCH_ROOT says (an unpacked
# LibTorch or the folder `torch` of a Python wheel), else by Torch_DIR, CMAKE_PREFIX_PATH and in the
# system. Not by its CMake package: that stops a configuration which lacks what LibTorch was built
# with. Sets ZERO_TORCH_FOUND and ZERO_TORCH_VERSION and makes the target zero_libtorch.
set(ZERO_TORCH AUTO CACHE STRING "The adapter to LibTorch: AUTO, ON or OFF")
set_property(CACHE ZERO_TORCH PROPERTY STRINGS AUTO ON OFF)
set(ZERO_TORCH_ROOT "" CACHE PATH "Folder with include/ and lib/ of LibTorch")
set(ZERO_TORCH_FOUND FALSE)
if(ZERO_SANITIZE AND ZERO_TORCH STREQUAL "AUTO")
  return()  # LibTorch is not instrumented
endif()
if(NOT ZERO_TORCH)
  return()
endif()

set(zero_torch_hints ${ZERO_TORCH_ROOT})
if(Torch_DIR)  # .../share/cmake/Torch
  get_filename_component(zero_torch_prefix "${Torch_DIR}/../../.." ABSOLUTE)
  list(APPEND zero_torch_hints ${zero_torch_prefix})
endif()
if(ZERO_TORCH_ROOT)  # that one or none
  set(zero_torch_only NO_DEFAULT_PATH)
endif()
find_path(ZERO_TORCH_INCLUDE_DIR torch/csrc/api/include/torch/version.h
          HINTS ${zero_torch_hints} PATH_SUFFIXES include ${zero_torch_only})
find_library(ZERO_TORCH_LIBRARY torch_cpu HINTS ${zero_torch_hints} PATH_SUFFIXES lib
             ${zero_torch_only})
find_library(ZERO_TORCH_C10_LIBRARY c10 HINTS ${zero_torch_hints} PATH_SUFFIXES lib
             ${zero_torch_only})
mark_as_advanced(ZERO_TORCH_INCLUDE_DIR ZERO_TORCH_LIBRARY ZERO_TORCH_C10_LIBRARY)
if(NOT ZERO_TORCH_INCLUDE_DIR OR NOT ZERO_TORCH_LIBRARY OR NOT ZERO_TORCH_C10_LIBRARY)
  if(NOT ZERO_TORCH STREQUAL "AUTO")
    message(FATAL_ERROR "ZERO_TORCH is ${ZERO_TORCH} and there is no LibTorch: install it, or say "
                        "where it is with ZERO_TORCH_ROOT or Torch_DIR")
  endif()
  return()
endif()

set(ZERO_TORCH_FOUND TRUE)
file(STRINGS "${ZERO_TORCH_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h" zero_torch_lines
     REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9]+" "." ZERO_TORCH_VERSION "${zero_torch_lines}")
string(REGEX REPLACE "^\\.|\\.$" "" ZERO_TORCH_VERSION "${ZERO_TORCH_VERSION}")
message(STATUS "LibTorch ${ZERO_TORCH_VERSION}: ${ZERO_TORCH_LIBRARY}")
add_library(zero_libtorch INTERFACE)
target_include_directories(zero_libtorch SYSTEM INTERFACE
  ${ZERO_TORCH_INCLUDE_DIR} ${ZERO_TORCH_INCLUDE_DIR}/torch/csrc/api/include)
target_link_libraries(zero_libtorch INTERFACE ${ZERO_TORCH_LIBRARY} ${ZERO_TORCH_C10_LIBRARY})
