# NCCL::nccl (headers and library) and NCCL::headers (headers alone), NCCL_VERSION. Looked for
# under NCCL_ROOT, the CUDA toolkit and the system's folders. Installed with the package, whose
# clients look for NCCL again where a static library needs it.
include(FindPackageHandleStandardArgs)

find_path(NCCL_INCLUDE_DIR nccl.h
          HINTS ENV NCCL_ROOT ${CUDAToolkit_INCLUDE_DIRS} ENV CUDA_HOME /usr/local/cuda
          PATH_SUFFIXES include)
find_library(NCCL_LIBRARY nccl
             HINTS ENV NCCL_ROOT ${CUDAToolkit_LIBRARY_DIR} ENV CUDA_HOME /usr/local/cuda
             PATH_SUFFIXES lib lib64)
if(NCCL_INCLUDE_DIR)
  foreach(part IN ITEMS MAJOR MINOR PATCH)
    file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h line REGEX "^#define NCCL_${part} +[0-9]+")
    string(REGEX MATCH "[0-9]+" nccl_${part} "${line}")
  endforeach()
  set(NCCL_VERSION ${nccl_MAJOR}.${nccl_MINOR}.${nccl_PATCH})
endif()
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR
                                  VERSION_VAR NCCL_VERSION)
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)

if(NCCL_FOUND AND NOT TARGET NCCL::nccl)
  add_library(NCCL::headers INTERFACE IMPORTED)
  set_target_properties(NCCL::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES
                        "${NCCL_INCLUDE_DIR}")
  add_library(NCCL::nccl UNKNOWN IMPORTED)
  set_target_properties(NCCL::nccl PROPERTIES IMPORTED_LOCATION "${NCCL_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${NCCL_INCLUDE_DIR}")
endif()
