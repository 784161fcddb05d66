#pragma once
// nccl: ranks with a GPU each, in processes or threads of one machine. Compiles without NCCL.
//
// Ranks queue operations of groups that share ranks in one order.

#include <zero/base/cuda.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::collectives {

[[nodiscard]] bool nccl_compiled() noexcept;
[[nodiscard]] std::string nccl_version();  // "2.28.3" of what is loaded, "" without

// How ranks that cannot talk yet exchange a few bytes, as ranks of one world do: broadcast gives
// every rank what rank 0 put in, and blocks until it is there. Called by every rank in one order.
using bootstrap = std::function<void(std::vector<std::uint8_t>& bytes)>;

// Over another communicator (MPI, shared memory), which must outlive the returned function.
[[nodiscard]] bootstrap bootstrap_over(communicator& ranks);
// Over files in a directory that all ranks see and that is empty of `run`, a name no other run
// uses. Nobody goes on, and rank 0 removes the files, when all have read. Throws invalid_argument;
// the function it returns throws io_error, and peer_lost past the deadline.
[[nodiscard]] bootstrap bootstrap_in_directory(const std::string& directory, const std::string& run,
                                               world w, std::int64_t deadline_milliseconds);

struct nccl_options {
  std::int64_t deadline_milliseconds = 30'000;
  std::string settings;  // filled in: what was set for determinism and speed, for reports
};

// Blocks until all ranks have come, 64 at most. `device` must outlive the communicator; its
// memory() is the device's, registered with NCCL. Throws invalid_argument without NCCL, cuda_error,
// peer_lost (where ranks are of several machines, too: they do not find each other).
[[nodiscard]] std::unique_ptr<communicator> make_nccl(cuda_device& device, world w,
                                                      const bootstrap& exchange,
                                                      nccl_options* options = nullptr);

// What a client's own NCCL communicator says of its ranks, and a way through it to exchange bytes,
// by its ncclBroadcast from device memory on a stream of `device`. The communicator is used while
// `exchange` is called and stays the client's, as `device` does; both must outlive the function.
struct nccl_ranks {
  world who;
  bootstrap exchange;
};

// `communicator` is an ncclComm_t. Does not block; `exchange` does, and throws cuda_error, or
// peer_lost past the deadline: NCCL then still waits on the client's communicator, which only the
// client can abort. Throws invalid_argument without NCCL, and where the communicator is null or
// of another device than this; cuda_error.
[[nodiscard]] nccl_ranks ranks_of_nccl(void* communicator, cuda_device& device,
                                       std::int64_t deadline_milliseconds = 30'000);

}  // namespace zero::collectives
#pragma GCC visibility pop
