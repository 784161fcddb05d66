// Rounds: who says what, and what is wrong with it.
#include "transport/wire.hpp"

#include "shared_memory/desync.hpp"
#include "transport/cargo.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace zero::collectives {
namespace {

constexpr std::uint64_t least_chunk = 64;  // a multiple of every element's size, as all are
constexpr std::uint64_t largest_chunk = std::uint64_t{1} << 20;
constexpr std::uint64_t largest_call = std::uint64_t{8} << 20;

std::uint64_t chunk_of(int size) noexcept {
  const std::uint64_t share = largest_call / static_cast<std::uint64_t>(size);
  return std::clamp(share / least_chunk * least_chunk, least_chunk, largest_chunk);
}

world checked(world w) {
  if (w.size >= 1 && w.rank >= 0 && w.rank < w.size) return w;
  throw invalid_argument("[collectives.transport] rank " + std::to_string(w.rank) + " of " +
                         std::to_string(w.size));
}

std::string rank_list(const std::vector<int>& ranks) {
  return (ranks.size() == 1 ? "rank " : "ranks ") + format_ranks(ranks);
}

}  // namespace

wire::wire(std::shared_ptr<transport> means, world w)
    : means_(std::move(means)),
      who_(checked(w)),
      chunk_(chunk_of(w.size)),
      said_(static_cast<std::size_t>(w.size)),
      outgoing_(std::make_unique<std::byte[]>(said_.size() * chunk_)),
      incoming_(std::make_unique<std::byte[]>(said_.size() * chunk_)),
      from_(said_.size()) {
  try_functions();
}

// ---- rounds -----------------------------------------------------------------------------------

void wire::run(const seat_on_wire& seat, const operation& op, const placement& own) {
  const cargo mine(*this, seat, op, own);
  do check();
  while (!take_part(state::works, &mine));
}

// One round. Whether it was this rank's last one for what it says.
bool wire::take_part(state says, const cargo* own) {
  announce(says, own);
  const bool is_end = hear();
  if (is_end) return true;
  const volume most = largest();
  const bool is_here = is_complete(who_.rank);
  const cargo* const moved = is_here ? own : nullptr;
  exchange(moved, most.exchanged);
  spread(moved, most.spread, is_here && own->size == who_.size);
  return is_here;
}

void wire::announce(state says, const cargo* own) {
  announcement mine{};
  mine.says = says;
  if (own != nullptr) {
    mine.group = own->seat.group;
    mine.group_size = own->size;
    mine.op = own->op;
  }
  through([&] { means_->all_gather(&mine, said_.data(), sizeof mine); });
}

bool wire::anybody(state says) const noexcept {
  return std::any_of(said_.begin(), said_.end(), [&](const auto& a) { return a.says == says; });
}

std::vector<int> wire::whoever(state says) const {
  std::vector<int> ranks;
  for (std::size_t i = 0; i < said_.size(); ++i) {
    if (said_[i].says == says) ranks.push_back(static_cast<int>(i));
  }
  return ranks;
}

// Throws what is wrong with what was said, if anything is: then every rank stops here. True if all
// have left.
bool wire::hear() {
  try {
    if (anybody(state::failed)) exchange_last_words();
    is_over_ = !anybody(state::works);
    if (!is_over_) agree();
    return is_over_;
  } catch (...) {
    is_over_ = true;
    keep(std::current_exception(), {}, true);
    throw;
  }
}

// Every rank has said everything it has to say, so if no group has all its ranks none ever will.
void wire::agree() const {
  const auto refuse = [](const std::string& what, const std::vector<const operation*>& ops,
                         const std::vector<int>& ranks) {
    const auto found = compare(ops, ranks);
    if (!found) return;
    std::vector<int> culprits;
    for (const int i : found->minority) culprits.push_back(ranks[static_cast<std::size_t>(i)]);
    throw desync("[collectives.transport] " + what + found->text, culprits);
  };
  const auto members_of = [&](const announcement& a, bool all) {
    std::pair<std::vector<const operation*>, std::vector<int>> found;
    for (std::size_t i = 0; i < said_.size(); ++i) {
      if (!all && said_[i].group != a.group) continue;
      found.first.push_back(&said_[i].op);
      found.second.push_back(static_cast<int>(i));
    }
    return found;
  };
  bool is_any_complete = false;
  for (int r = 0; r < who_.size; ++r) {
    const announcement& own = said_[static_cast<std::size_t>(r)];
    if (!is_complete(r)) continue;
    is_any_complete = true;
    const bool same_as_all = std::all_of(said_.begin(), said_.end(), [&](const announcement& a) {
      return a.group != own.group || same(a.op, own.op);
    });
    if (same_as_all && own.group_size == who_.size) return;  // all of the world
    if (same_as_all) continue;
    const auto [operations, ranks] = members_of(own, false);
    refuse("ranks do different things: ", operations, ranks);
  }
  if (is_any_complete) return;
  const std::vector<int> gone = whoever(state::left);
  const auto waiting = std::find_if(said_.begin(), said_.end(),
                                    [](const auto& a) { return a.says == state::works; });
  if (!gone.empty()) {
    throw peer_lost(
        "[collectives.transport] " + rank_list(gone) + " left before " + describe(waiting->op),
        gone);
  }
  const auto [operations, ranks] = members_of(said_.front(), true);
  const std::string apart = "ranks are in different groups, none of which is complete: ";
  refuse(apart, operations, ranks);
  throw desync("[collectives.transport] " + apart + "all about to " + describe(waiting->op), {});
}

bool wire::is_complete(int world_rank) const noexcept {
  const announcement& own = said_[static_cast<std::size_t>(world_rank)];
  const auto here = std::count_if(said_.begin(), said_.end(),
                                  [&](const announcement& a) { return a.group == own.group; });
  return here == own.group_size;
}

wire::volume wire::volume_of(const operation& op, int size) noexcept {
  const std::uint64_t bytes = op.count * size_of(op.in);
  const auto ranks = static_cast<std::uint64_t>(size);
  switch (op.kind) {
    case operation_kind::all_gather:
    case operation_kind::broadcast:
    case operation_kind::split:
      return {0, bytes};
    case operation_kind::reduce_scatter:
    case operation_kind::all_to_all:
      return {bytes, 0};
    case operation_kind::all_reduce: {
      const std::uint64_t slice = (op.count + ranks - 1) / ranks * size_of(op.in);
      return {slice, slice};
    }
    case operation_kind::barrier:
      break;
  }
  return {};
}

// Of the groups that are complete: all ranks make the calls that the largest needs.
wire::volume wire::largest() const {
  volume most;
  for (int r = 0; r < who_.size; ++r) {
    if (!is_complete(r)) continue;
    const announcement& a = said_[static_cast<std::size_t>(r)];
    const volume its = volume_of(a.op, a.group_size);
    most.exchanged = std::max(most.exchanged, its.exchanged);
    most.spread = std::max(most.spread, its.spread);
    if (a.group_size == who_.size) break;
  }
  return most;
}

// ---- errors -----------------------------------------------------------------------------------

void wire::keep(std::exception_ptr why, const std::string& words, bool is_known) noexcept {
  const std::lock_guard lock(mutex_);
  if (error_) {
    is_known_ = is_known_ || is_known;
    return;
  }
  error_ = std::move(why);
  is_known_ = is_known;
  std::strncpy(words_.text.data(), words.c_str(), words_.text.size() - 1);
  failed_.store(true);
}

void wire::check() {
  if (!failed_.load()) return;
  tell();
  const std::lock_guard lock(mutex_);
  std::rethrow_exception(error_);
}

void wire::fail(const std::exception_ptr& why) noexcept {
  std::string what = "unknown exception";
  try {
    std::rethrow_exception(why);
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
    what = "something that is no exception";
  }
  keep(why, "rank " + std::to_string(who_.rank) + " failed: " + what, false);
  tell();
}

void wire::abort(const std::string& reason) noexcept {
  const std::string text = "rank " + std::to_string(who_.rank) + " aborted: " + reason;
  keep(std::make_exception_ptr(peer_lost("[collectives.transport] " + text, {who_.rank})), text,
       false);
}

// Takes part in one more round, to say that this rank has failed.
void wire::tell() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (is_known_ || is_over_) return;
    is_known_ = true;
  }
  try {
    announce(state::failed, nullptr);
    exchange_last_words();
  } catch (...) {
    is_over_ = true;  // nobody can be told any more; the error there is stays
  }
  is_over_ = true;
}

// Throws what the first of those who failed said.
void wire::exchange_last_words() {
  last_words own;
  {
    const std::lock_guard lock(mutex_);
    own = words_;
  }
  std::vector<last_words> all(said_.size());
  through([&] { means_->all_gather(&own, all.data(), sizeof own); });
  const std::vector<int> ranks = whoever(state::failed);
  last_words& first = all[static_cast<std::size_t>(ranks.front())];
  first.text.back() = '\0';
  throw peer_lost("[collectives.transport] " + std::string(first.text.data()), {ranks.front()});
}

// Others may have work in groups of their own, which needs this rank's calls.
void wire::leave() noexcept {
  if (is_over_ || who_.size == 1) return;
  try {
    do check();
    while (!take_part(state::left, nullptr));
  } catch (...) {
    is_over_ = true;  // others have heard of it, or cannot
  }
}

// ---- before anything else ---------------------------------------------------------------------

// Every rank hears what every other found, so that nobody goes on alone.
void wire::try_functions() {
  struct hello {
    std::uint64_t magic;
    std::int32_t rank;
    std::int32_t size;
    std::int64_t broadcasts;  // whether the rank has that function
  };
  constexpr std::uint64_t magic = 0x7a65726f77697265U;
  const std::int64_t broadcasts = means_->has_broadcast() ? 1 : 0;
  const hello own{magic, who_.rank, who_.size, broadcasts};
  const auto n = static_cast<std::size_t>(who_.size);
  std::string wrong;
  const auto expect = [&](const char* function, std::size_t piece, const hello& found,
                          const hello& expected) {
    if (std::memcmp(&found, &expected, sizeof found) == 0 || !wrong.empty()) return;
    wrong = std::string("[collectives.transport] ") + function + " brought rank " +
            std::to_string(who_.rank) + " of " + std::to_string(who_.size) + " as piece " +
            std::to_string(piece) + " other bytes than those expected of rank " +
            std::to_string(piece);
    if (found.magic == magic && found.broadcasts != expected.broadcasts) {
      wrong += ", which has" + std::string(found.broadcasts == 0 ? " no" : " a") + " broadcast";
    } else if (found.magic == magic) {
      wrong += ", perhaps those of rank " + std::to_string(found.rank);
    }
  };
  std::vector<hello> in(n, own);
  std::vector<hello> out(n);
  means_->all_gather(&own, out.data(), sizeof own);
  for (std::size_t r = 0; r < n; ++r) {
    expect("all_gather", r, out[r], {magic, static_cast<std::int32_t>(r), who_.size, broadcasts});
  }
  // Piece r tells for whom it is and from whom it came.
  for (std::size_t r = 0; r < n; ++r) in[r].size = static_cast<std::int32_t>(r);
  std::fill(out.begin(), out.end(), hello{});
  means_->all_to_all(in.data(), out.data(), sizeof own);
  for (std::size_t r = 0; r < n; ++r) {
    expect("all_to_all", r, out[r], {magic, static_cast<std::int32_t>(r), who_.rank, broadcasts});
  }
  // Only where all have it: all_gather has said so, unless it brought something else.
  const bool all_broadcast =
      std::all_of(out.begin(), out.end(), [](const hello& one) { return one.broadcasts == 1; });
  hello of_last = own;
  if (broadcasts == 1 && all_broadcast) {
    means_->broadcast(&of_last, sizeof of_last, who_.size - 1);
    expect("broadcast", n - 1, of_last, {magic, who_.size - 1, who_.size, broadcasts});
  }
  const std::uint8_t is_wrong = wrong.empty() ? 0 : 1;
  std::vector<std::uint8_t> verdicts(n);
  means_->all_gather(&is_wrong, verdicts.data(), 1);
  if (is_wrong != 0) throw desync(wrong, {who_.rank});
  std::vector<int> ranks;
  for (std::size_t r = 0; r < n; ++r) {
    if (verdicts[r] != 0) ranks.push_back(static_cast<int>(r));
  }
  if (ranks.empty()) return;
  throw desync("[collectives.transport] " + rank_list(ranks) + " had other bytes than were sent",
               ranks);
}

}  // namespace zero::collectives
