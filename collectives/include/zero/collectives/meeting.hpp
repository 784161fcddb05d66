#pragma once
// meeting: how ranks of one machine that nobody handed an arena down to come to share one. Rank 0
// makes it and listens on a socket whose name comes of the user and of the run; every other rank
// says there who it is. When all have come each is handed the arena, and all go on together.
//
// The socket is in Linux's abstract namespace: it is no file, nothing of it can stay behind, and it
// is the name of one run at a time. Only processes of the same user are let in.

#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <memory>
#include <string>

#pragma GCC visibility push(default)
namespace zero::collectives {

struct meeting {
  std::string name;  // that the ranks of this run and of no other share; of any length
  world who;
  // Until all have come. The shortest of those who came counts for all.
  std::int64_t deadline_milliseconds = 30'000;
  std::uint64_t bytes_per_rank = 0;  // as in shared_memory_world::create
};

// This rank's communicator of shared memory. Blocks until every rank has come; others than rank 0
// look for it again and again, at most 20 ms apart, because nothing tells when a name comes to be.
// Throws invalid_argument where the name is in use by another run or by another user, and where
// this rank comes twice or with another size than rank 0's; peer_lost naming who did not come or
// went again; desync where the other library is of another version; out_of_memory, io_error.
[[nodiscard]] std::unique_ptr<communicator> meet(const meeting& where);

}  // namespace zero::collectives
#pragma GCC visibility pop
