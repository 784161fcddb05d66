# zero_library(rooms...): the library of all rooms, as zero::static and zero::shared. Both are made
# of the same objects, so the second kind costs a link. zero::zero is the one that
# BUILD_SHARED_LIBS asks for, as far as it is built. What lies in this tree (tests, benchmarks, the
# command) is linked with zero::static, since tests reach what is inside.
#
# A shared library exports what public headers declare and nothing else. Objects are compiled with
# everything hidden; a public header says `#pragma GCC visibility push(default)` around its
# namespace, a C header ZERO_PUBLIC before each function. exports.map keeps out what else may be
# visible: instantiations of the standard library's templates, and vendors' symbols.

if(PROJECT_IS_TOP_LEVEL)
  set(zero_both ON)
else()
  set(zero_both OFF)
endif()
if(zero_both OR NOT BUILD_SHARED_LIBS OR ZERO_TESTS OR ZERO_BENCH OR ZERO_CLI)
  set(zero_static_default ON)
else()
  set(zero_static_default OFF)
endif()
if(BUILD_SHARED_LIBS OR (zero_both AND NOT ZERO_SANITIZE))
  set(zero_shared_default ON)
else()
  set(zero_shared_default OFF)
endif()
option(ZERO_STATIC "Build and install the static library" ${zero_static_default})
option(ZERO_SHARED "Build and install the shared library" ${zero_shared_default})
if(NOT ZERO_STATIC AND NOT ZERO_SHARED)
  message(FATAL_ERROR "ZERO_STATIC and ZERO_SHARED are both OFF: no library would be left")
endif()
if(NOT ZERO_STATIC AND (ZERO_TESTS OR ZERO_BENCH OR ZERO_CLI))
  message(FATAL_ERROR "ZERO_STATIC is OFF, and ZERO_TESTS, ZERO_BENCH and ZERO_CLI need the static "
                      "library: switch them off too")
endif()

function(zero_kind_of_library kind)
  string(TOUPPER ${kind} KIND)
  add_library(zero_${kind} ${KIND})
  add_library(zero::${kind} ALIAS zero_${kind})
  get_property(links GLOBAL PROPERTY ZERO_BACKEND_LINKS)
  foreach(room IN LISTS ARGN)
    target_sources(zero_${kind} PRIVATE $<TARGET_OBJECTS:zero_${room}>)
    get_target_property(dir zero_${room} SOURCE_DIR)
    target_include_directories(zero_${kind} PUBLIC $<BUILD_INTERFACE:${dir}/include>)
  endforeach()
  target_include_directories(zero_${kind} INTERFACE
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  # What clients of an installed library need beside it, libzeroConfig.cmake says.
  target_compile_features(zero_${kind} INTERFACE $<BUILD_INTERFACE:cxx_std_17>)
  target_link_libraries(zero_${kind} PUBLIC $<BUILD_INTERFACE:Threads::Threads>
                        PRIVATE $<BUILD_INTERFACE:hwy::hwy> $<BUILD_INTERFACE:zero_flags>)
  foreach(link IN LISTS links)
    target_link_libraries(zero_${kind} PRIVATE $<BUILD_INTERFACE:${link}>)
  endforeach()
  set_target_properties(zero_${kind} PROPERTIES OUTPUT_NAME zero EXPORT_NAME ${kind}
                        LINKER_LANGUAGE CXX)  # whatever its objects were compiled from
endfunction()

# A macro: ALIAS targets are seen everywhere, ZERO_KINDS where this is called.
macro(zero_library)
  set(ZERO_KINDS "")
  if(ZERO_STATIC)
    zero_kind_of_library(static ${ARGN})
    list(APPEND ZERO_KINDS static)
  endif()
  if(ZERO_SHARED)
    zero_kind_of_library(shared ${ARGN})
    list(APPEND ZERO_KINDS shared)
    set(zero_map ${PROJECT_SOURCE_DIR}/scripts/cmake/exports.map)
    target_link_options(zero_shared PRIVATE "LINKER:--version-script=${zero_map}")
    set_target_properties(zero_shared PROPERTIES VERSION ${PROJECT_VERSION}
                          SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${zero_map})
    if(NOT ZERO_SANITIZE)
      target_link_options(zero_shared PRIVATE "LINKER:-z,defs")
    endif()
  endif()
  if(ZERO_SHARED AND (BUILD_SHARED_LIBS OR NOT ZERO_STATIC))
    add_library(zero::zero ALIAS zero_shared)
  else()
    add_library(zero::zero ALIAS zero_static)
  endif()
  set_property(GLOBAL PROPERTY ZERO_ROOMS ${ARGN})
endmacro()
