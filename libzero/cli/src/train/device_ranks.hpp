#pragma once
// device_ranks: the ranks of `zero train --device cuda`. Ranks that nobody else started are
// threads of one process: with a GPU each over NCCL where there are as many, else all on one.

#include "ranks/rank_environment.hpp"
#include "train/train_rank.hpp"

#include <zero/base/error.hpp>

#include <string>

namespace zero::cli {

// What a rank that is a thread failed with: the words and the class of its own error.
class rank_error : public error {
 public:
  rank_error(int of, const std::string& message, error_class kind)
      : error(message, kind), rank(of) {}
  int rank;
};

// Throws invalid_argument, naming --device, if `o` asks for a device that cannot be had.
void require_device(const common_options& o);

// Runs `ranks` ranks as threads of this process and blocks until all have ended. Rank 0 calls
// `sink`, on the calling thread. Throws rank_error of the first rank to fail; one that failed
// because of a peer counts only where no other did.
void run_device_ranks(const train_options& options, int ranks, const result_sink& sink);

// The place of a process that a launcher started, whose ranks talk over place.ranks so far: over
// NCCL from now on, with the GPU of its local rank to itself. Collective; blocks. Throws
// invalid_argument where there are fewer GPUs than ranks, and without NCCL.
[[nodiscard]] rank_place move_to_device(const rank_identity& identity, rank_place place);

}  // namespace zero::cli
