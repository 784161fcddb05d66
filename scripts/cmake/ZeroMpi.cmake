# ZERO_MPI_FOUND: whether the backend of several hosts is built. Only the C interface of MPI is
# used; it is found as the language of this project.
set(ZERO_MPI AUTO CACHE STRING "Ranks on several hosts by MPI: AUTO (where it is found), ON or OFF")
set_property(CACHE ZERO_MPI PROPERTY STRINGS AUTO ON OFF)
set(ZERO_MPI_FOUND FALSE)
if(ZERO_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI QUIET COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(ZERO_MPI_FOUND TRUE)
    message(STATUS "MPI ${MPI_CXX_VERSION}: ${MPI_CXX_COMPILER}")
  elseif(NOT ZERO_MPI STREQUAL "AUTO")
    message(FATAL_ERROR "ZERO_MPI is ON and there is no MPI: install it (libopenmpi-dev), or say "
                        "-DZERO_MPI=OFF")
  endif()
endif()
