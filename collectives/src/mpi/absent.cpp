// The library without MPI: the same symbols, and a refusal.
#include <zero/base/error.hpp>
#include <zero/collectives/mpi.hpp>

namespace zero::collectives {

bool mpi_compiled() noexcept { return false; }

std::string mpi_version() { return ""; }

std::unique_ptr<communicator> make_mpi(const mpi_options&) {
  throw invalid_argument("[collectives.mpi] this library was built without MPI");
}

}  // namespace zero::collectives
