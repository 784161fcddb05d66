# Install rules: one library, its headers, a CMake package and a pkg-config file.
include(CMakePackageConfigHelpers)

install(TARGETS zero EXPORT libzero-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
get_property(rooms GLOBAL PROPERTY ZERO_ROOMS)
foreach(room IN LISTS rooms)
  get_target_property(dir zero_${room} SOURCE_DIR)
  install(DIRECTORY ${dir}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endforeach()
install(EXPORT libzero-targets NAMESPACE zero:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/libzero)

configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/scripts/cmake/libzeroConfig.cmake.in
  ${PROJECT_BINARY_DIR}/libzeroConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/libzero)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/libzeroConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/libzeroConfig.cmake
              ${PROJECT_BINARY_DIR}/libzeroConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/libzero)
configure_file(${PROJECT_SOURCE_DIR}/scripts/cmake/libzero.pc.in
               ${PROJECT_BINARY_DIR}/libzero.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/libzero.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
