# zero_room, zero_backend, zero_optional, zero_test, zero_bench: what a room's own CMakeLists.txt is
# written with.

# The flags of every target of ours; never exported.
add_library(zero_flags INTERFACE)
function(zero_host_options)  # for C++ alone: ZeroCuda.cmake says what nvcc is told
  target_compile_options(zero_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${ARGV}>")
endfunction()
zero_host_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                  -ffp-contract=off)  # a*b+c is fused only where the code says so
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  zero_host_options(-Wno-restrict)  # false positives: GCC bug 105651
endif()
if(ZERO_WERROR)
  zero_host_options(-Werror)
endif()
add_library(zero_test_flags INTERFACE)  # over those, for tests
if(ZERO_SANITIZE)
  # Programs that count allocations replace operator new, which gcc then takes for the library's.
  zero_host_options(-Wno-mismatched-new-delete -fsanitize=${ZERO_SANITIZE}
                    -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(zero_flags INTERFACE -fsanitize=${ZERO_SANITIZE})
  # Instrumented vector code takes minutes to compile for each target: AVX2 and the baseline do.
  # Where another target is the baseline, Highway leaves that one in.
  target_compile_definitions(zero_flags INTERFACE
    "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3|HWY_AVX3_DL)")
  # Behaviour is checked in what is tested; in what tests it, that doubles the time to compile.
  target_compile_options(zero_test_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=undefined>)
endif()

find_program(ZERO_CCACHE ccache)
if(ZERO_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${ZERO_CCACHE}")
endif()

# zero_room(NAME HEADERS h... SOURCES s... ROOMS r... [LIBRARIES l...] [INCLUDES dir...])
# An object library zero_NAME that sees its own include/ and those of ROOMS, and nothing else.
function(zero_room name)
  cmake_parse_arguments(ROOM "" "" "HEADERS;SOURCES;ROOMS;LIBRARIES;INCLUDES" ${ARGN})
  add_library(zero_${name} OBJECT ${ROOM_SOURCES})
  target_sources(zero_${name} PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${ROOM_HEADERS})
  target_include_directories(zero_${name} PRIVATE src ${ROOM_INCLUDES})
  target_link_libraries(zero_${name} PRIVATE zero_flags ${ROOM_LIBRARIES})
  # What a shared library exports is said in the public headers; see ZeroLibrary.cmake.
  set_target_properties(zero_${name} PROPERTIES CXX_VISIBILITY_PRESET hidden
                        CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  foreach(room IN LISTS ROOM_ROOMS)
    target_include_directories(zero_${name} PUBLIC
      $<TARGET_PROPERTY:zero_${room},INTERFACE_INCLUDE_DIRECTORIES>)
  endforeach()
  set_property(TARGET zero_${name} PROPERTY ZERO_ROOT_HEADERS ${ROOM_HEADERS})
endfunction()

# zero_backend(ROOM WHEN condition SOURCES s... ABSENT s... [LIBRARIES l...] [LINKS l...]
#              [PACKAGES p...])
# What of ROOM needs something that not every machine has, and its twin with the same symbols that
# is compiled where the condition (a variable's name) is false. LIBRARIES are what the sources are
# compiled with; LINKS what the library is linked with; PACKAGES what a client of a static library
# must find for that.
function(zero_backend room)
  cmake_parse_arguments(BACKEND "" "WHEN" "SOURCES;ABSENT;LIBRARIES;LINKS;PACKAGES" ${ARGN})
  if(${BACKEND_WHEN})
    target_sources(zero_${room} PRIVATE ${BACKEND_SOURCES})
    target_link_libraries(zero_${room} PRIVATE ${BACKEND_LIBRARIES})
    set_property(GLOBAL APPEND PROPERTY ZERO_BACKEND_LINKS ${BACKEND_LINKS})
    set_property(GLOBAL APPEND PROPERTY ZERO_BACKEND_PACKAGES ${BACKEND_PACKAGES})
  else()
    target_sources(zero_${room} PRIVATE ${BACKEND_ABSENT})
  endif()
endfunction()

# zero_optional(ROOM OPTION HEADER LIBRARY WHAT): sets OPTION_FOUND. AUTO takes the library where it
# is, ON insists on it, OFF leaves it alone.
function(zero_optional room option header library what)
  set(${option} AUTO CACHE STRING "${what}: AUTO, ON or OFF")
  set_property(CACHE ${option} PROPERTY STRINGS AUTO ON OFF)
  set(found FALSE)
  if(${option})
    find_path(${option}_INCLUDE_DIR ${header})
    find_library(${option}_LIBRARY ${library})
    mark_as_advanced(${option}_INCLUDE_DIR ${option}_LIBRARY)
    if(${option}_INCLUDE_DIR AND ${option}_LIBRARY)
      set(found TRUE)
      target_include_directories(zero_${room} PRIVATE ${${option}_INCLUDE_DIR})
    elseif(NOT ${option} STREQUAL AUTO)
      message(FATAL_ERROR "${option} is ${${option}} and there is no ${header} or lib${library}")
    endif()
  endif()
  set(${option}_FOUND ${found} PARENT_SCOPE)
endfunction()

# zero_test(NAME SOURCES s... [LABELS l...] [LIBRARIES l...] [TIMEOUT seconds] [INCLUDES dir...]
#           [SANITIZED_SHARE n])
# A GoogleTest binary, one ctest case, linked with the static library: it may test what is inside
# one. gtest's own filter serves for single tests. Each label also makes a target
# zero_tests_<label> that builds what carries it. Sanitizers run every n-th test only where a
# SANITIZED_SHARE is named: many tests that go the same ways, each several times as long. A binary in
# which some tests were skipped passes for ctest; scripts/test.sh counts and names them.
function(zero_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT;SANITIZED_SHARE" "SOURCES;LABELS;LIBRARIES;INCLUDES" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${TEST_INCLUDES})
  target_link_libraries(${name} PRIVATE zero::static zero_flags zero_test_flags ${TEST_LIBRARIES}
                        GTest::gtest_main)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${TEST_LABELS}" TIMEOUT ${TEST_TIMEOUT})
  if(ZERO_SANITIZE AND TEST_SANITIZED_SHARE)
    set_tests_properties(${name} PROPERTIES
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${TEST_SANITIZED_SHARE};GTEST_SHARD_INDEX=0")
  endif()
  foreach(label IN LISTS TEST_LABELS)
    if(NOT TARGET zero_tests_${label})
      add_custom_target(zero_tests_${label})
    endif()
    add_dependencies(zero_tests_${label} ${name})
  endforeach()
endfunction()

# zero_bench(NAME SOURCES s... [LIBRARIES l...]): a Google Benchmark binary.
function(zero_bench name)
  cmake_parse_arguments(BENCH "" "" "SOURCES;LIBRARIES;INCLUDES" ${ARGN})
  add_executable(${name} ${BENCH_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/bench ${BENCH_INCLUDES})
  target_link_libraries(${name} PRIVATE zero::static zero_flags ${BENCH_LIBRARIES}
                        benchmark::benchmark)
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()
