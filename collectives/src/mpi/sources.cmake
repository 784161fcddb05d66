# Where there is MPI, and wanted: the backend; else its twin with the same symbols.
set(ZERO_MPI AUTO CACHE STRING "Ranks on several hosts by MPI: AUTO (where it is found), ON or OFF")
set(MPI_CXX_SKIP_MPICXX ON)  # the C interface is what is used
if(ZERO_MPI STREQUAL "AUTO")
  find_package(MPI GLOBAL QUIET COMPONENTS CXX)
elseif(ZERO_MPI)
  find_package(MPI GLOBAL REQUIRED COMPONENTS CXX)
endif()
if(ZERO_MPI AND MPI_CXX_FOUND)
  message(STATUS "MPI: ${MPI_CXX_COMPILER} ${MPI_CXX_VERSION}")
  set(mpi_sources
      src/mpi/chain.cpp
      src/mpi/exchange.cpp
      src/mpi/links.cpp
      src/mpi/make_mpi.cpp
      src/mpi/mpi_communicator.cpp
      src/mpi/notices.cpp
      src/mpi/session.cpp
      src/mpi/spread.cpp
      src/mpi/two_level.cpp
      src/mpi/verdicts.cpp
      src/mpi/watcher.cpp)
  set(mpi_libraries MPI::MPI_CXX)
  set_property(GLOBAL APPEND PROPERTY ZERO_LIBRARIES MPI::MPI_CXX)
  set_property(GLOBAL APPEND PROPERTY ZERO_FIND_DEPENDENCIES
               "set(MPI_CXX_SKIP_MPICXX ON)\nfind_dependency(MPI COMPONENTS CXX)")
  set_property(GLOBAL APPEND PROPERTY ZERO_PC_LIBS ${MPI_CXX_LIBRARIES})
else()
  message(STATUS "MPI: not found or not wanted; ranks are those of one machine")
  set(mpi_sources src/mpi/absent.cpp)
  set(mpi_libraries "")
endif()
