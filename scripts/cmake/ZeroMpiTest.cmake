# Tests that need ranks of mpirun. Skipped, with the reason, where there is none.

# More ranks than cores, root in a container, no binding to cores that others use too.
set(ZERO_MPI_ENVIRONMENT
    "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    "OMPI_MCA_rmaps_base_oversubscribe=1;OMPI_MCA_hwloc_base_binding_policy=none"
    "OMPI_MCA_mpi_yield_when_idle=1;OMPI_MCA_btl_base_warn_component_unused=0")

# Sets `result` to why tests of mpirun cannot be run, or to nothing.
function(zero_why_no_mpi result)
  set(why "")
  if(NOT ZERO_MPI_FOUND)
    set(why "this build is without MPI")
  elseif(NOT MPIEXEC_EXECUTABLE)
    set(why "mpirun is not here")
  elseif(ZERO_SANITIZE)
    set(why "the sanitizers report MPI itself")
  endif()
  set(${result} "${why}" PARENT_SCOPE)
endfunction()

function(zero_skipped_test name why labels)
  add_test(NAME ${name} COMMAND sh -c "echo '${why}'; exit 77")
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 LABELS "${labels}")
endfunction()

# zero_mpi_test(NAME SOURCES s... RANKS n... [INCLUDES dir...] [TIMEOUT seconds] [LABELS l...]
#               [LIBRARIES l...])
# A GoogleTest binary whose main is mpi_test_main, run under mpirun once for each number of ranks:
# NAME_2, NAME_3, ...
function(zero_mpi_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;RANKS;LABELS;INCLUDES;LIBRARIES" ${ARGN})
  zero_why_no_mpi(why)
  if(why)
    zero_skipped_test(${name} "${why}" "${TEST_LABELS}")
    return()
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${TEST_INCLUDES})
  target_link_libraries(${name} PRIVATE zero::static zero_flags ${TEST_LIBRARIES} MPI::MPI_CXX
                        GTest::gtest)
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  foreach(ranks IN LISTS TEST_RANKS)
    add_test(NAME ${name}_${ranks}
             COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks}
                     $<TARGET_FILE:${name}> --gtest_brief=1 ${name}_${ranks})
    set_tests_properties(${name}_${ranks} PROPERTIES LABELS "${TEST_LABELS}"
      TIMEOUT ${TEST_TIMEOUT} PROCESSORS 2 ENVIRONMENT "${ZERO_MPI_ENVIRONMENT}")
  endforeach()
endfunction()

# zero_launched_test(NAME ...): as zero_test, of a program that starts mpirun itself; ZERO_MPIEXEC
# is its path.
function(zero_launched_test name)
  zero_why_no_mpi(why)
  if(why)
    zero_skipped_test(${name} "${why}" "process;mpi")
    return()
  endif()
  zero_test(${name} ${ARGN})
  target_compile_definitions(${name} PRIVATE ZERO_MPIEXEC="${MPIEXEC_EXECUTABLE}")
  set_tests_properties(${name} PROPERTIES PROCESSORS 2 ENVIRONMENT "${ZERO_MPI_ENVIRONMENT}")
endfunction()
