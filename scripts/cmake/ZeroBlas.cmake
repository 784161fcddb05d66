# zero_cblas: whatever CBLAS is there, and ZERO_BLAS_HAS_THREADS: whether its threads can be set.
include(CheckCXXSourceCompiles)
include(CMakePushCheckState)

find_package(PkgConfig)
if(PkgConfig_FOUND)
  pkg_check_modules(ZERO_OPENBLAS IMPORTED_TARGET GLOBAL openblas)
endif()
add_library(zero_cblas INTERFACE)
if(ZERO_OPENBLAS_FOUND)
  target_link_libraries(zero_cblas INTERFACE PkgConfig::ZERO_OPENBLAS)
else()
  find_path(ZERO_CBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas)
  find_library(ZERO_CBLAS_LIBRARY NAMES openblas cblas)
  if(NOT ZERO_CBLAS_INCLUDE_DIR OR NOT ZERO_CBLAS_LIBRARY)
    message(FATAL_ERROR "the reference trainer needs a CBLAS, for example libopenblas-dev; "
                        "-DZERO_CLI=OFF builds the library without it")
  endif()
  target_include_directories(zero_cblas SYSTEM INTERFACE ${ZERO_CBLAS_INCLUDE_DIR})
  target_link_libraries(zero_cblas INTERFACE ${ZERO_CBLAS_LIBRARY})
endif()

cmake_push_check_state()
# What it stands for: a target of this project is not known where the program is linked.
get_target_property(cblas zero_cblas INTERFACE_LINK_LIBRARIES)
list(APPEND CMAKE_REQUIRED_LIBRARIES ${cblas})
check_cxx_source_compiles("
  extern \"C\" void openblas_set_num_threads(int);
  int main() { openblas_set_num_threads(1); }" ZERO_BLAS_HAS_THREADS)
cmake_pop_check_state()
