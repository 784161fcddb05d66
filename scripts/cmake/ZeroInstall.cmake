# Install rules: the libraries, the headers, a CMake package, a pkg-config file and the command, as
# components `runtime` (the shared library), `dev` and `tools`. What is installed may be moved as a
# whole: both files find their prefix from where they lie.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/libzero)
foreach(kind IN LISTS ZERO_KINDS)  # a set of each: one may be there and the other not
  install(TARGETS zero_${kind} EXPORT libzero-${kind}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT dev)
  install(EXPORT libzero-${kind} NAMESPACE zero:: FILE libzero-${kind}-targets.cmake
          DESTINATION ${package_dir} COMPONENT dev)
endforeach()
if(TARGET zero_command)
  install(TARGETS zero_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
endif()

get_property(rooms GLOBAL PROPERTY ZERO_ROOMS)
foreach(room IN LISTS rooms)
  get_target_property(dir zero_${room} SOURCE_DIR)
  install(DIRECTORY ${dir}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
endforeach()

# ---- what a static library hands on to whoever links it; a shared one has it already -------------
get_property(links GLOBAL PROPERTY ZERO_BACKEND_LINKS)
get_property(packages GLOBAL PROPERTY ZERO_BACKEND_PACKAGES)
list(REMOVE_DUPLICATES links)
list(REMOVE_DUPLICATES packages)

# -lNAME for a library that every linker finds, its path for another.
function(zero_link_flag path result)
  get_filename_component(dir "${path}" DIRECTORY)
  get_filename_component(name "${path}" NAME)
  if(dir IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES AND name MATCHES "^lib(.+)\\.(so|a)$")
    set(path "-l${CMAKE_MATCH_1}")
  endif()
  set(${result} "${path}" PARENT_SCOPE)
endfunction()

find_library(ZERO_HWY_LIBRARY hwy REQUIRED)
mark_as_advanced(ZERO_HWY_LIBRARY)
set(libraries ${ZERO_HWY_LIBRARY})  # for pkg-config
set(ZERO_STATIC_FIND "find_dependency(hwy)\n")
set(ZERO_STATIC_LINKS hwy::hwy)
foreach(package IN LISTS packages)
  if(NOT package MATCHES "^MPI")
    string(APPEND ZERO_STATIC_FIND "  find_dependency(${package})\n")
  endif()
endforeach()
foreach(link IN LISTS links)
  if(link STREQUAL "MPI::MPI_CXX")
    list(APPEND libraries ${MPI_CXX_LIBRARIES})
    # Only MPI's C interface is used, so either language of the client serves.
    string(APPEND ZERO_STATIC_FIND "  find_dependency(MPI COMPONENTS \${libzero_language})\n")
    list(APPEND ZERO_STATIC_LINKS "MPI::MPI_\${libzero_language}")
  elseif(link STREQUAL "NCCL::nccl")
    list(APPEND libraries ${NCCL_LIBRARY})
    list(APPEND ZERO_STATIC_LINKS ${link})
  elseif(link STREQUAL "CUDA::cudart_static")
    list(APPEND libraries "-L${CUDAToolkit_LIBRARY_DIR}" -lcudart_static -ldl -lrt)
    list(APPEND ZERO_STATIC_LINKS ${link})
  elseif(IS_ABSOLUTE "${link}")
    list(APPEND libraries ${link})
    zero_link_flag(${link} flag)
    list(APPEND ZERO_STATIC_LINKS ${flag})
  else()
    message(FATAL_ERROR "ZeroInstall.cmake does not know how clients find ${link}")
  endif()
endforeach()
# What a C++ compiler links by itself and a C compiler does not.
set(ZERO_LANGUAGE_LINKS "")
foreach(name IN ITEMS stdc++ c++ m)
  if(name IN_LIST CMAKE_CXX_IMPLICIT_LINK_LIBRARIES)
    list(APPEND ZERO_LANGUAGE_LINKS -l${name})
  endif()
endforeach()

# ---- the CMake package ---------------------------------------------------------------------------
set(ZERO_BUILT_IN "")
foreach(backend IN ITEMS cuda nccl)
  string(TOUPPER ${backend} option)
  if(ZERO_${option})
    list(APPEND ZERO_BUILT_IN ${backend})
  endif()
endforeach()
if(ZERO_MPI_FOUND)
  list(APPEND ZERO_BUILT_IN mpi)
endif()
set(ZERO_BIN_DIR ${CMAKE_INSTALL_BINDIR})
set(ZERO_INCLUDE_DIR ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/libzeroConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/libzeroConfig.cmake
                              INSTALL_DESTINATION ${package_dir}
                              PATH_VARS ZERO_BIN_DIR ZERO_INCLUDE_DIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/libzeroConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/libzeroConfig.cmake
              ${CMAKE_CURRENT_LIST_DIR}/FindNCCL.cmake ${CMAKE_CURRENT_LIST_DIR}/ZeroTorch.cmake
              ${PROJECT_BINARY_DIR}/libzeroConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT dev)

# ---- pkg-config ----------------------------------------------------------------------------------
set(flags "")
foreach(library IN LISTS libraries)
  if(IS_ABSOLUTE "${library}")
    zero_link_flag("${library}" library)
  endif()
  string(APPEND flags " ${library}")
endforeach()
list(JOIN ZERO_LANGUAGE_LINKS " " language_flags)
string(APPEND flags " -pthread ${language_flags}")
if("shared" IN_LIST ZERO_KINDS)
  set(ZERO_PC_LIBS "")
  set(ZERO_PC_LIBS_PRIVATE "${flags}")
else()  # there is one way to link, with or without --static
  set(ZERO_PC_LIBS "${flags}")
  set(ZERO_PC_LIBS_PRIVATE "")
endif()
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
install(FILES ${PROJECT_BINARY_DIR}/libzero.pc DESTINATION ${pc_dir} COMPONENT dev)
