#pragma once
// group: one rank's view of a group of ranks that agree, operation by operation, what to do.
//
// Operation k goes through: every rank posts it; the last to post compares what all posted and
// announces it; when k - 1 is completed too, the gate of k is open and every rank moves its bytes;
// in between ranks may meet; every rank finishes; the last to finish completes it. So nothing of
// an operation is read or written before all ranks agreed on it and all finished the one before.
//
// post and finish are called once for each operation, in order, by one thread at a time of the
// rank; meet by its lane only; the others by anyone.

#include "shared_memory/arena.hpp"

#include <zero/base/error.hpp>
#include <zero/base/trace.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace zero::collectives {

// Who wakes that much too late was stopped, and not only slow.
inline constexpr std::chrono::milliseconds shortest_stop{250};

// Who compares what the ranks posted: the last of them to post, or, where this is only one host's
// part of a group, whoever calls announce.
enum class agreement { inside, outside };

class group {
 public:
  // `block` is the group's in `pages`; `around` is the group this one was split from, or nullptr.
  // Both must outlive this.
  group(const arena& pages, std::uint64_t block, int rank, const group* around,
        agreement where = agreement::inside);
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  ~group() = default;

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(world_ranks_.size()); }
  [[nodiscard]] int world_rank(int rank) const {
    return world_ranks_[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] const arena& pages() const noexcept { return pages_; }
  [[nodiscard]] std::uint64_t block() const noexcept { return offset_; }
  [[nodiscard]] slot& slot_of(int rank) const noexcept { return pages_.slot_of(offset_, rank); }
  [[nodiscard]] std::byte* staging(int rank) const noexcept {
    return pages_.staging(offset_, size(), rank);
  }
  [[nodiscard]] bell& own_lane() const noexcept { return own_entry().lane; }
  [[nodiscard]] bell& own_caller() const noexcept { return own_entry().caller; }

  // ---- the life of an operation
  void post(std::uint64_t k, const operation& op);
  [[nodiscard]] std::uint64_t posted() const noexcept { return slot_of(rank_).posted.load(); }
  // With agreement outside: how many operations all of these ranks have posted, and that k, the
  // next, is the same everywhere.
  [[nodiscard]] std::uint64_t gathered() const noexcept { return block_.gathered.load(); }
  void announce(std::uint64_t k) noexcept;
  [[nodiscard]] bool gate_open(std::uint64_t k) const noexcept {
    return block_.completed.load() >= k && block_.announced.load() > k;
  }
  [[nodiscard]] const operation& posted_by(int rank, std::uint64_t k) const noexcept {
    return slot_of(rank).operations[k % ring_size];
  }
  // This rank went on, whatever with: it is not late.
  void note_progress() const noexcept {
    own_entry().moved.store(trace_clock(), std::memory_order_relaxed);
  }
  // All ranks have come here. Blocks; false if the group is poisoned meanwhile, which it is by
  // this rank when the deadline passes.
  [[nodiscard]] bool meet(std::uint64_t k, steady::duration patience);
  void finish(std::uint64_t k) noexcept;
  [[nodiscard]] std::uint64_t completed() const noexcept { return block_.completed.load(); }

  // Blocks on a bell of this rank until done(), or until a rank that operation k waits for has not
  // moved for `patience`; returns the last done(). A rank that is killed after it stored and before
  // it rang leaves others asleep over what they wait for; so half-way everyone is rung once, or
  // ranks that could go on would look lost as well. Who was stopped meanwhile (a Ctrl-Z stops all
  // of a job) begins to wait anew: the others had no more time than it had.
  template <typename Done>
  [[nodiscard]] bool wait_for(bell& b, Done done, std::uint64_t k,
                              steady::duration patience) const {
    const steady::duration slice = patience / 16 + std::chrono::milliseconds(1);
    const steady::duration oversleep = std::max<steady::duration>(patience / 4, shortest_stop);
    auto begin = steady::now();
    auto until = begin + patience / 2;
    for (bool rung = false;;) {
      const auto next = std::min(until, steady::now() + slice);
      if (wait_on(b, done, next)) return true;
      const auto now = steady::now();
      if (now - next > oversleep) {
        begin = now;
        until = now + patience / 2;
        rung = false;
      } else if (now >= until && !rung) {
        ring_lanes();
        ring_callers();
        until = begin + patience;
        rung = true;
      } else if (now >= until) {
        until = patient_until(k, begin, patience);
        if (until <= steady::now()) return done();
      }
    }
  }

  // ---- errors
  // Poisons the group; ranks are those of the world, as in every error.
  void poison(error_class kind, const std::vector<int>& world_ranks,
              const std::string& text) noexcept;
  // Of this group alone, whatever is around it.
  [[nodiscard]] poison_record& own_poison() const noexcept { return block_.poison; }
  // Whether the caller is the first to ask, of all ranks of this host: it tells other hosts.
  [[nodiscard]] bool claim_telling() const noexcept { return block_.told.exchange(1) == 0; }
  // What poisons this group or one around it, or nullptr.
  [[nodiscard]] const poison_record* poisoned() const noexcept;
  // Operation k did not complete in time: poisons, naming those of the ranks that are furthest
  // behind that did not move for so long. False, and nothing is done, if all of them did.
  bool poison_late(std::uint64_t k, steady::duration waited);
  // How long ago this rank moved.
  [[nodiscard]] steady::duration quiet() const noexcept { return quiet(rank_); }
  // Whether operation k can never complete because ranks left before they posted it.
  [[nodiscard]] bool forsaken(std::uint64_t k) const noexcept;
  void poison_forsaken(std::uint64_t k);

  // "operation 5, all_gather 'x' of 128 bf16 (tag 3)", as far as this rank knows.
  [[nodiscard]] std::string title(std::uint64_t k) const;

  // This rank announces nothing more. The last call on the group; the last rank frees its pages.
  void leave() noexcept;

 private:
  [[nodiscard]] rank_entry& own_entry() const noexcept {
    return pages_.entry(world_ranks_[static_cast<std::size_t>(rank_)]);
  }
  void ring_lanes() const noexcept;
  void ring_callers() const noexcept;
  [[nodiscard]] bool agree_on(std::uint64_t k);
  // Who has not begun the operation that k waits for or, if all have, not finished it.
  struct behind {
    std::vector<int> ranks;
    bool is_begun = true;  // by all
  };
  [[nodiscard]] behind furthest_behind(std::uint64_t k) const;
  [[nodiscard]] steady::duration quiet(int rank) const noexcept;
  [[nodiscard]] steady::time_point patient_until(std::uint64_t k, steady::time_point begin,
                                                 steady::duration patience) const;

  const arena& pages_;
  std::uint64_t offset_;
  group_block& block_;
  int rank_;
  const group* around_;
  agreement where_;
  std::vector<int> world_ranks_;  // by rank of the group
  std::uint64_t met_ = 0;
};

}  // namespace zero::collectives
