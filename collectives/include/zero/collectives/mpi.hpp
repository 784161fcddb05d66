#pragma once
// mpi: ranks of several hosts. Inside a host ranks read each other's shared memory; between hosts
// bytes travel by MPI. Compiles without MPI.

#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::collectives {

[[nodiscard]] bool mpi_compiled() noexcept;
[[nodiscard]] std::string
mpi_version();  // what the MPI library says of itself, one line; "" without

struct mpi_options {
  std::uint64_t bytes_per_rank = 0;  // as in shared_memory_world::create
  // A host that has not been heard of for so long is lost, whatever its ranks compute.
  std::int64_t silence_milliseconds = 15'000;
  // A pointer to an MPI_Comm whose ranks are the world, instead of MPI_COMM_WORLD. It is duplicated
  // and stays the caller's; MPI must have been started.
  const void* ranks = nullptr;
  // By rank of the world: ranks with different numbers are treated as if on different hosts, even
  // if MPI finds that they share memory. Empty: as MPI finds. The same on every rank.
  std::vector<int> hosts = {};
};

// The communicator of all ranks of MPI_COMM_WORLD, or of options.ranks. Starts MPI (thread level
// multiple) where nobody has. Collective over all ranks; blocks. Throws invalid_argument without
// MPI, with one that lacks the thread level or has been ended, and for an MPI_Comm that is none;
// out_of_memory, io_error.
//
// Destroying it waits for the others to do so, for its deadline at most, and then ends MPI if it
// was started here. After an error it waits a second at most and leaves MPI as it is: ending it
// would wait for those who are gone.
[[nodiscard]] std::unique_ptr<communicator> make_mpi(const mpi_options& options = {});

}  // namespace zero::collectives
#pragma GCC visibility pop
