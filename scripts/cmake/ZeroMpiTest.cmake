# zero_mpi_test(NAME SOURCES s... RANKS n... [INCLUDES dir...] [TIMEOUT seconds] [LABELS l...])
# A GoogleTest binary with a main of its own that is run under mpirun, one ctest case for each
# number of ranks: NAME_2, NAME_3, ... Skipped, with the reason, where MPI is not there.
function(zero_mpi_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;RANKS;LABELS;INCLUDES;LIBRARIES" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 300)
  endif()
  set(why "")
  if(NOT TARGET MPI::MPI_CXX)
    set(why "this build is without MPI")
  elseif(NOT MPIEXEC_EXECUTABLE)
    set(why "mpirun is not here")
  elseif(ZERO_SANITIZE)
    set(why "Open MPI under sanitizers reports itself")
  endif()
  if(why)
    add_test(NAME ${name} COMMAND sh -c "echo '${why}'; exit 77")
    set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 LABELS "${TEST_LABELS}")
    return()
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests ${TEST_INCLUDES})
  target_link_libraries(${name} PRIVATE zero::zero zero_flags ${TEST_LIBRARIES} MPI::MPI_CXX
                        GTest::gtest)
  foreach(ranks IN LISTS TEST_RANKS)
    add_test(NAME ${name}_${ranks}
             COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks}
                     $<TARGET_FILE:${name}> --gtest_brief=1 ${name}_${ranks})
    # More ranks than cores, root in a container, no binding to cores that others use too.
    set_tests_properties(${name}_${ranks} PROPERTIES LABELS "${TEST_LABELS}"
      TIMEOUT ${TEST_TIMEOUT} PROCESSORS 2 ENVIRONMENT "${ZERO_MPI_ENVIRONMENT}")
  endforeach()
endfunction()

set(ZERO_MPI_ENVIRONMENT
    "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    "OMPI_MCA_rmaps_base_oversubscribe=1;OMPI_MCA_hwloc_base_binding_policy=none"
    "OMPI_MCA_mpi_yield_when_idle=1;OMPI_MCA_btl_base_warn_component_unused=0")
