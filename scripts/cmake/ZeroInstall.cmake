# Install rules: one library, its headers, a CMake package and a pkg-config file. What is
# installed may be moved as a whole: both files find their prefix from where they lie.
include(CMakePackageConfigHelpers)

install(TARGETS zero EXPORT libzero-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
get_property(rooms GLOBAL PROPERTY ZERO_ROOMS)
foreach(room IN LISTS rooms)
  get_target_property(dir zero_${room} SOURCE_DIR)
  install(DIRECTORY ${dir}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endforeach()

# What the backends in this build need, added to ZERO_FIND_DEPENDENCIES and ZERO_PC_LIBS.
macro(zero_backend_needs)
  get_property(packages GLOBAL PROPERTY ZERO_BACKEND_PACKAGES)
  list(REMOVE_DUPLICATES packages)
  foreach(package IN LISTS packages)
    string(APPEND ZERO_FIND_DEPENDENCIES "\nfind_dependency(${package})")
  endforeach()
  get_property(links GLOBAL PROPERTY ZERO_BACKEND_LINKS)
  list(REMOVE_DUPLICATES links)
  if("CUDA::cudart_static" IN_LIST links)
    string(APPEND ZERO_PC_LIBS " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -ldl -lrt")
  endif()
  if("NCCL::nccl" IN_LIST links)
    string(APPEND ZERO_PC_LIBS " ${NCCL_LIBRARY}")
  endif()
  if("MPI::MPI_CXX" IN_LIST links)
    list(JOIN MPI_CXX_LIBRARIES " " mpi)
    string(APPEND ZERO_PC_LIBS " ${mpi}")
  endif()
  foreach(link IN LISTS links)  # libraries that have no package of their own are named by path
    if(IS_ABSOLUTE "${link}")
      string(APPEND ZERO_PC_LIBS " ${link}")
    endif()
  endforeach()
endmacro()

# A static library hands what it needs on to whoever links it; a shared one has it already.
get_target_property(kind zero TYPE)
if(kind STREQUAL "STATIC_LIBRARY")
  set(ZERO_FIND_DEPENDENCIES "find_dependency(hwy)")
  set(ZERO_PC_REQUIRES "libhwy")
  set(ZERO_PC_LIBS "-pthread")
  zero_backend_needs()
else()
  set(ZERO_FIND_DEPENDENCIES "")
  set(ZERO_PC_REQUIRES "")
  set(ZERO_PC_LIBS "")
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/libzero)
install(EXPORT libzero-targets NAMESPACE zero:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/libzeroConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/libzeroConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/libzeroConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/libzeroConfig.cmake
              ${CMAKE_CURRENT_LIST_DIR}/FindNCCL.cmake
              ${PROJECT_BINARY_DIR}/libzeroConfigVersion.cmake
        DESTINATION ${package_dir})

set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(ZERO_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
  set(ZERO_PC_LIBDIR "${CMAKE_INSTALL_FULL_LIBDIR}")
  set(ZERO_PC_INCLUDEDIR "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
  foreach(name IN ITEMS PREFIX LIBDIR INCLUDEDIR)  # pkg-config escapes its own pcfiledir only
    string(REPLACE " " "\\ " ZERO_PC_${name} "${ZERO_PC_${name}}")
  endforeach()
else()
  file(RELATIVE_PATH up "/there/${pc_dir}" "/there")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(ZERO_PC_PREFIX "\${pcfiledir}/${up}")
  set(ZERO_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(ZERO_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/libzero.pc.in ${PROJECT_BINARY_DIR}/libzero.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/libzero.pc DESTINATION ${pc_dir})
