#include "shared_memory/group.hpp"

#include "shared_memory/desync.hpp"
#include "shared_memory/poison.hpp"

#include <algorithm>
#include <cstdio>

namespace zero::collectives {
namespace {

std::string seconds(steady::duration time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", std::chrono::duration<double>(time).count());
  return text;
}

std::string rank_list(const std::vector<int>& ranks) {
  return (ranks.size() == 1 ? "rank " : "ranks ") + format_ranks(ranks);
}

}  // namespace

group::group(const arena& pages, std::uint64_t block, int rank, const group* around,
             agreement where)
    : pages_(pages),
      offset_(block),
      block_(pages.block(block)),
      rank_(rank),
      around_(around),
      where_(where),
      world_ranks_(block_.size) {
  for (int i = 0; i < size(); ++i) {
    world_ranks_[static_cast<std::size_t>(i)] = pages.slot_of(block, i).world_rank;
  }
}

// ---- the life of an operation -----------------------------------------------------------------

void group::post(std::uint64_t k, const operation& op) {
  note_progress();
  slot& mine = slot_of(rank_);
  mine.operations[k % ring_size] = op;
  mine.posted.store(k + 1);
  std::atomic<std::uint32_t>& posts = block_.posts[k % ring_size];
  if (posts.fetch_add(1) + 1 != block_.size) return;
  posts.store(0);  // for k + ring_size, which nobody posts before k is completed
  if (where_ == agreement::outside) {
    block_.gathered.store(k + 1);
    return ring_lanes();
  }
  if (agree_on(k)) announce(k);  // otherwise the gate stays shut: nothing is moved
}

void group::announce(std::uint64_t k) noexcept {
  block_.announced.store(k + 1);
  if (completed() >= k) ring_lanes();  // otherwise whoever completes k - 1 rings them
}

bool group::agree_on(std::uint64_t k) {
  const operation& first = posted_by(0, k);
  bool agree = true;
  for (int i = 1; i < size(); ++i) agree = agree && same(first, posted_by(i, k));
  if (agree) return true;
  std::vector<const operation*> operations;
  operations.reserve(world_ranks_.size());
  for (int i = 0; i < size(); ++i) operations.push_back(&posted_by(i, k));
  const auto found = compare(operations, world_ranks_);
  std::vector<int> culprits;
  for (const int i : found->minority) culprits.push_back(world_rank(i));
  poison(error_class::desync, culprits,
         "ranks do different things as operation " + std::to_string(k) + ": " + found->text);
  return false;
}

bool group::meet(std::uint64_t k, steady::duration patience) {
  note_progress();
  const std::uint64_t target = ++met_;
  slot_of(rank_).met.store(target);
  if (block_.meeting.fetch_add(1) + 1 == block_.size) {
    block_.meeting.store(0);
    block_.meetings.store(target);
    ring_lanes();
    return poisoned() == nullptr;
  }
  const auto here = [&] { return block_.meetings.load() >= target; };
  const auto over = [&] { return here() || poisoned() != nullptr; };
  while (!wait_for(own_lane(), over, k, patience) && !poison_late(k, patience)) {
  }
  return here() && poisoned() == nullptr;
}

void group::finish(std::uint64_t k) noexcept {
  note_progress();
  slot_of(rank_).done.store(k + 1);
  if (block_.finishing.fetch_add(1) + 1 != block_.size) return;
  block_.finishing.store(0);
  block_.completed.store(k + 1);
  ring_callers();
  if (block_.announced.load() > k + 1) ring_lanes();
}

// ---- errors -----------------------------------------------------------------------------------

void group::poison(error_class kind, const std::vector<int>& world_ranks,
                   const std::string& text) noexcept {
  set_poison(block_.poison, kind, world_ranks, text);
  ring_lanes();
  ring_callers();
}

const poison_record* group::poisoned() const noexcept {
  for (const group* g = this; g != nullptr; g = g->around_) {
    if (is_set(g->block_.poison)) return &g->block_.poison;
  }
  return nullptr;
}

group::behind group::furthest_behind(std::uint64_t k) const {
  const std::uint64_t stuck = std::min(k, completed());  // what k waits for, or k itself
  behind unposted, unfinished;
  unposted.is_begun = false;
  std::uint64_t least_met = ~std::uint64_t{0};
  for (int i = 0; i < size(); ++i) {
    const slot& s = slot_of(i);
    if (s.posted.load() <= stuck) unposted.ranks.push_back(i);
    const std::uint64_t met = s.met.load();
    if (s.done.load() > stuck || met > least_met) continue;
    // Within an operation, who came to fewer meetings keeps the others waiting.
    if (met < least_met) unfinished.ranks.clear();
    unfinished.ranks.push_back(i);
    least_met = met;
  }
  return unposted.ranks.empty() ? unfinished : unposted;
}

steady::duration group::quiet(int rank) const noexcept {
  const std::int64_t moved = pages_.entry(world_rank(rank)).moved.load(std::memory_order_relaxed);
  return std::chrono::nanoseconds(trace_clock() - moved);
}

// When the first of those who are waited for will be late, as far as is known now.
steady::time_point group::patient_until(std::uint64_t k, steady::time_point begin,
                                        steady::duration patience) const {
  const auto now = steady::now();
  const behind awaited = furthest_behind(k);
  if (awaited.is_begun) {  // nobody is, while anybody moves
    auto moved = begin;
    for (int i = 0; i < size(); ++i) moved = std::max(moved, now - quiet(i));
    return moved + patience;
  }
  auto until = steady::time_point::max();
  for (const int i : awaited.ranks) {
    until = std::min(until, std::max(begin, now - quiet(i)) + patience);
  }
  return until == steady::time_point::max() ? begin + patience : until;
}

bool group::poison_late(std::uint64_t k, steady::duration waited) {
  const std::uint64_t stuck = std::min(k, completed());
  const behind awaited = furthest_behind(k);
  // All have begun it: who waited for the last to begin has been quiet as long as that one let it.
  if (awaited.is_begun) {
    for (int i = 0; i < size(); ++i) {
      if (quiet(i) < waited) return false;
    }
  }
  std::vector<int> culprits;
  for (const int i : awaited.ranks) {
    if (quiet(i) >= waited) culprits.push_back(world_rank(i));
  }
  if (culprits.empty()) return false;  // it goes on, or completed just now
  poison(error_class::peer_lost, culprits,
         "rank " + std::to_string(world_rank(rank_)) + " waited " + seconds(waited) + " for " +
             rank_list(culprits) + (awaited.is_begun ? " to finish " : " to begin ") +
             title(stuck));
  return true;
}

bool group::forsaken(std::uint64_t k) const noexcept {
  if (block_.leaving.load() == 0) return false;
  for (int i = 0; i < size(); ++i) {
    const slot& s = slot_of(i);
    if (s.left.load() != 0 && s.posted.load() <= k) return true;
  }
  return false;
}

void group::poison_forsaken(std::uint64_t k) {
  std::vector<int> gone;
  for (int i = 0; i < size(); ++i) {
    const slot& s = slot_of(i);
    if (s.left.load() != 0 && s.posted.load() <= k) gone.push_back(world_rank(i));
  }
  poison(error_class::peer_lost, gone, rank_list(gone) + " left before " + title(k));
}

std::string group::title(std::uint64_t k) const {
  const std::string number = "operation " + std::to_string(k);
  return posted() > k ? number + ", " + describe(posted_by(rank_, k)) : number;
}

void group::leave() noexcept {
  slot_of(rank_).left.store(1);
  // After an error messages of another host may still be written into the staging areas.
  const bool is_freed =
      around_ != nullptr && (where_ == agreement::inside || poisoned() == nullptr);
  // From here on the block may be freed by another rank, unless this one is the last.
  const std::uint32_t gone = block_.leaving.fetch_add(1) + 1;
  ring_callers();
  if (is_freed && gone == world_ranks_.size()) pages_.free_block(offset_);
}

void group::ring_lanes() const noexcept {
  for (const int r : world_ranks_) ring(pages_.entry(r).lane);
}

void group::ring_callers() const noexcept {
  for (const int r : world_ranks_) ring(pages_.entry(r).caller);
}

}  // namespace zero::collectives
