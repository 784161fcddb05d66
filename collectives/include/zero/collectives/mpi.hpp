#pragma once
// mpi: ranks of several hosts. Inside a host ranks read each other's shared memory; between hosts
// bytes travel by MPI. Compiles without MPI.

#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace zero::collectives {

[[nodiscard]] bool mpi_compiled() noexcept;
[[nodiscard]] std::string mpi_version();  // what the MPI library says of itself, one line; "" without

struct mpi_options {
  std::uint64_t bytes_per_rank = 0;  // as in shared_memory_world::create
  // A host that has not been heard of for so long is lost, whatever its ranks compute.
  std::int64_t silence_milliseconds = 15'000;
};

// The communicator of all ranks of MPI_COMM_WORLD. Starts MPI (thread level multiple) where nobody
// has, and then ends it when destroyed. Collective over all ranks; blocks. Throws invalid_argument
// without MPI or with one that lacks the thread level, out_of_memory, io_error.
[[nodiscard]] std::unique_ptr<communicator> make_mpi(const mpi_options& options = {});

}  // namespace zero::collectives
