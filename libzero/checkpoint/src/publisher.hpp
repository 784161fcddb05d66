#pragma once
// publisher: how a save goes, from the first vote to the rename, on every rank.
//
//     begin    rank 0 makes a staging folder; all agree on what is saved, and in which act
//     write    each rank its own file: made, filled, checked, synced
//     commit   all votes in, rank 0 proves that everything is there, and publishes
//     retain   rank 0 removes what need not stay
//
// Between begin and write the state is read; from write on it is not needed any more, and a thread
// of its own may do the rest. One thread at a time.

#include "lease.hpp"
#include "published_folders.hpp"
#include "shard_feed.hpp"
#include "transfer_memory.hpp"
#include "votes.hpp"

#include <zero/checkpoint/file_calls.hpp>
#include <zero/checkpoint/manifest.hpp>
#include <zero/checkpoint/store.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace zero::checkpoint {

// One save under way. What fails on this rank is kept until the next vote.
struct save_act {
  manifest saved;      // the file of this rank filled in; on rank 0 all of them, later
  attachments client;  // rank 0's
  fault own;
  std::chrono::steady_clock::time_point begun;
  [[nodiscard]] const saved_file& file(int rank) const {
    return saved.files[static_cast<std::size_t>(rank)];
  }
};

class publisher {
 public:
  // `owner` and `folders` on rank 0 alone.
  publisher(votes& ranks, std::shared_ptr<file_calls> files, std::shared_ptr<lease> owner,
            std::shared_ptr<published_folders> folders)
      : ranks_(ranks),
        files_(std::move(files)),
        owner_(std::move(owner)),
        folders_(std::move(folders)) {}

  // Collective, as all that follows. Throws invalid_argument, desync, save_failed on all ranks.
  [[nodiscard]] save_act begin(const source& state, std::uint64_t step, const attachments& client);
  // Calls `produce(put)`, which is to put every byte of this rank's file, in order.
  void write(save_act& act, const std::function<void(const put_function&)>& produce);
  // Throws save_failed on all ranks.
  [[nodiscard]] published commit(save_act& act);
  // Rank 0's: why something stays that need not, or nothing.
  [[nodiscard]] std::string retain(std::uint64_t step);
  // For whatever is written or read, by one act at a time.
  [[nodiscard]] transfer_memory& memory();

 private:
  void check(const fault& own, const save_act& act);
  void expect_ours();
  void collect(save_act& act);
  void discard(const save_act& act) noexcept;

  votes& ranks_;
  std::shared_ptr<file_calls> files_;
  std::shared_ptr<lease> owner_;
  std::shared_ptr<published_folders> folders_;
  std::unique_ptr<transfer_memory> memory_;  // from the first save on
};

}  // namespace zero::checkpoint
