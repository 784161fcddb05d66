# Debian packages of what is installed: `cpack` in a build folder makes libzero0 (the shared
# library), libzero-dev and libzero-tools (the command). Nothing in them is of this machine but the
# versions of the libraries they depend on, which dpkg-shlibdeps finds.
if(NOT PROJECT_IS_TOP_LEVEL OR NOT ZERO_SHARED)
  return()
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME libzero)
set(CPACK_PACKAGE_VENDOR libzero)
set(CPACK_PACKAGE_CONTACT "libzero <maintainers@libzero.invalid>" CACHE STRING
    "Maintainer of packages: NAME <ADDRESS>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}/packages")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_SOURCE_GENERATOR "")

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL runtime dev)
if(ZERO_CLI)
  list(APPEND CPACK_COMPONENTS_ALL tools)
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libzero${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION "Shared library.
Partitions parameters, gradients and optimizer states of a trainer over ranks,
and keeps them on the device, in host memory or on a disk.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libzero-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS
    "${CPACK_DEBIAN_RUNTIME_PACKAGE_NAME} (= ${PROJECT_VERSION})")
# For those who link the static library.
set(CPACK_DEBIAN_DEV_PACKAGE_RECOMMENDS libhwy-dev)
get_property(links GLOBAL PROPERTY ZERO_BACKEND_LINKS)
foreach(part IN ITEMS "${ZERO_URING_LIBRARY},liburing-dev" "${ZERO_HWLOC_LIBRARY},libhwloc-dev"
                      "MPI::MPI_CXX,mpi-default-dev")
  string(REGEX MATCH "^(.*),(.*)$" part "${part}")
  if(CMAKE_MATCH_1 IN_LIST links)
    string(APPEND CPACK_DEBIAN_DEV_PACKAGE_RECOMMENDS ", ${CMAKE_MATCH_2}")
  endif()
endforeach()
set(CPACK_COMPONENT_DEV_DESCRIPTION "Headers, the static library, CMake package and libzero.pc.
For C99, C++17 and later: find_package(libzero CONFIG) or pkg-config libzero.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME libzero-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION science)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_TOOLS_PACKAGE_RECOMMENDS "python3, python3-matplotlib")  # draws reports
set(CPACK_COMPONENT_TOOLS_DESCRIPTION "The command zero.
Compares stages, trains the reference model and says what works on a machine.")
include(CPack)
