#include "one_device/peer_executor.hpp"

#include "device/poll.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace zero::collectives {

// Elements [at, at + count) of operation k's `op.count`.
struct peer_executor::piece {
  std::uint64_t k;
  const operation& op;
  steady::duration patience;
  bool staged;
  std::uint64_t at;
  std::uint64_t count;
  std::uint64_t number;  // from 0; staged pieces take the halves of the staging memory in turn
};

namespace {

constexpr std::uint64_t half_bytes = staging_bytes / 2;
// Two halves that peers read and one that sums are written to on their way to the host.
constexpr std::uint64_t all_staging = 3 * half_bytes;

// Whose memory peers read, of one operation.
bool is_read(const operation& op, int rank) noexcept {
  return op.kind != operation_kind::broadcast || rank == op.root;
}

// Whether a rank's memory has a piece for every rank: all of them are staged at a time.
bool has_pieces(const operation& op) noexcept {
  return op.kind == operation_kind::reduce_scatter || op.kind == operation_kind::all_to_all;
}

}  // namespace

peer_executor::peer_executor(group& ranks, std::uint64_t block, std::shared_ptr<device_queue> queue,
                             std::shared_ptr<peer_tables> tables)
    : group_(ranks),
      queue_(std::move(queue)),
      tables_(std::move(tables)),
      table_(tables_->of(block, ranks.size())),
      in_world_order_(static_cast<std::size_t>(ranks.size())),
      from_(static_cast<std::size_t>(ranks.size())) {
  std::iota(in_world_order_.begin(), in_world_order_.end(), 0);
  std::sort(in_world_order_.begin(), in_world_order_.end(),
            [&](int a, int b) { return ranks.world_rank(a) < ranks.world_rank(b); });
  mine().events = queue_->make_events(event_slots);
  mine().joined.store(true);
}

peer_executor::~peer_executor() {
  if (mine().staging != nullptr) queue_->memory().deallocate(mine().staging, all_staging);
}

// ---- the life of an operation -----------------------------------------------------------------

std::uint64_t peer_executor::source_of(const device_placement& own) const noexcept {
  return own.in_reached ? reinterpret_cast<std::uintptr_t>(own.in) : nowhere;
}

void peer_executor::prepare(std::uint64_t k) {
  mine().events->record(ready_slots + k % outstanding, queue_->lane());
}

bool peer_executor::run(std::uint64_t k, const device_placement& own, steady::duration patience) {
  const operation& op = group_.posted_by(group_.rank(), k);
  mine().begun.store(k + 1);
  // Every rank's memory is ready, and every rank is done with what came before: its lane recorded
  // this event after its part of that.
  for (peer& other : table_->peers) {
    if (&other != &mine()) other.events->order(ready_slots + k % outstanding, queue_->lane());
  }
  if (op.kind == operation_kind::barrier || op.kind == operation_kind::split) return true;
  const bool staged = needs_staging(k, op);
  std::uint64_t most = std::max<std::uint64_t>(op.count, 1);
  if (staged) {
    const auto pieces = has_pieces(op) ? static_cast<std::uint64_t>(group_.size()) : 1;
    most = half_bytes / (pieces * size_of(op.in));
  }
  if (staged || !own.out_reached) find_staging();
  std::uint64_t number = 0;
  for (std::uint64_t at = 0; at < op.count; at += most, ++number) {
    const piece p{k, op, patience, staged, at, std::min(most, op.count - at), number};
    const bool went = op.kind == operation_kind::all_gather       ? all_gather(p, own)
                      : op.kind == operation_kind::reduce_scatter ? reduce_scatter(p, own)
                      : op.kind == operation_kind::all_to_all     ? all_to_all(p, own)
                      : op.kind == operation_kind::all_reduce     ? all_reduce(p, own)
                                                                  : broadcast(p, own);
    if (!went) return false;
  }
  return true;
}

void peer_executor::conclude(std::uint64_t k) {
  mine().events->record(done_slots + k % outstanding, queue_->lane());
}

void peer_executor::order(std::uint64_t k, stream& later) {
  for (peer& other : table_->peers) other.events->order(done_slots + k % outstanding, later);
}

bool peer_executor::done(std::uint64_t k) {
  return std::all_of(table_->peers.begin(), table_->peers.end(),
                     [&](peer& other) { return other.events->done(done_slots + k % outstanding); });
}

// Those who are not ready keep all others waiting.
std::vector<int> peer_executor::behind(std::uint64_t k) {
  std::vector<int> ranks;
  for (const std::size_t slots : {ready_slots, done_slots}) {
    for (int i = 0; i < group_.size(); ++i) {
      event_ring& events = *table_->peers[static_cast<std::size_t>(i)].events;
      if (!events.done(slots + k % outstanding)) ranks.push_back(i);
    }
    if (!ranks.empty()) break;
  }
  return ranks;
}

// Peers read this rank's memory, so their lanes must have stopped, too, and their work be over.
void peer_executor::quiet(bool poisoned, steady::duration patience) noexcept {
  static_cast<void>(poisoned);
  const auto over = [&](peer& other) {
    if (!other.joined.load()) return true;
    if (other.moving.load()) return false;
    const std::uint64_t begun = other.begun.load();
    try {
      return begun == 0 || other.events->done(done_slots + (begun - 1) % outstanding);
    } catch (...) {
      return true;  // a device that failed uses nothing any more
    }
  };
  static_cast<void>(poll(
      [&] { return std::all_of(table_->peers.begin(), table_->peers.end(), over); }, patience));
}

executor::maker peer_executor::split(int color, int position) {
  static_cast<void>(color);
  static_cast<void>(position);
  return [queue = queue_, tables = tables_](group& ranks, std::uint64_t block) {
    return std::make_unique<peer_executor>(ranks, block, queue, tables);
  };
}

// ---- where memory is --------------------------------------------------------------------------

void peer_executor::copy(void* to, const void* from, std::uint64_t bytes) {
  if (to != from && bytes > 0) queue_->copy(to, from, bytes);
}

bool peer_executor::is_staged(int rank, std::uint64_t k) const noexcept {
  return group_.posted_by(rank, k).source == nowhere;
}

// All ranks come to the same answer, each from what all posted.
bool peer_executor::needs_staging(std::uint64_t k, const operation& op) const noexcept {
  if (group_.size() == 1) return false;
  for (int i = 0; i < group_.size(); ++i) {
    if (is_read(op, i) && is_staged(i, k)) return true;
  }
  return false;
}

const std::byte* peer_executor::source(int rank, std::uint64_t k) const noexcept {
  return reinterpret_cast<const std::byte*>(  // NOLINT: control pages hold addresses as numbers
      static_cast<std::uintptr_t>(group_.posted_by(rank, k).source));
}

void peer_executor::find_staging() {
  if (mine().staging != nullptr) return;
  mine().staging = static_cast<std::byte*>(queue_->memory().allocate(all_staging));
}

// Where `rank` stages this piece. Two halves in turn: by the meeting of the next piece every rank
// has queued the reading of this one, and the next but one is staged after that meeting.
std::byte* peer_executor::half(int rank, const piece& p) const noexcept {
  return table_->peers[static_cast<std::size_t>(rank)].staging + (p.number % 2) * half_bytes;
}

bool peer_executor::meet(const piece& p) {
  const std::size_t slot = meeting_slots + meetings_++ % 2;
  mine().events->record(slot, queue_->lane());
  if (!group_.meet(p.k, p.patience)) return false;
  for (peer& other : table_->peers) {
    if (&other != &mine()) other.events->order(slot, queue_->lane());
  }
  return true;
}

// What rank `from` has for this rank.
const std::byte* peer_executor::piece_for_me(const piece& p, int from) const noexcept {
  const std::uint64_t width = size_of(p.op.in);
  const auto me = static_cast<std::uint64_t>(group_.rank());
  if (p.staged && is_staged(from, p.k)) return half(from, p) + me * p.count * width;
  return source(from, p.k) + (me * p.op.count + p.at) * width;
}

// ---- the operations ---------------------------------------------------------------------------

bool peer_executor::all_gather(const piece& p, const device_placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const std::uint64_t bytes = p.count * width;
  const int me = group_.rank();
  if (p.staged) {
    if (!own.in_reached) copy(half(me, p), own.in + p.at * width, bytes);
    if (!meet(p)) return false;
  }
  for (int n = 0; n < group_.size(); ++n) {
    const int i = (me + n) % group_.size();  // ranks begin with different peers
    const std::byte* const from = i == me             ? own.in + p.at * width
                                  : is_staged(i, p.k) ? half(i, p)
                                                      : source(i, p.k) + p.at * width;
    copy(own.out + (static_cast<std::uint64_t>(i) * p.op.count + p.at) * width, from, bytes);
  }
  return true;
}

// Stages this rank's pieces if peers cannot read them where they are; after the meeting all have.
bool peer_executor::bring_pieces(const piece& p, const device_placement& own) {
  if (!p.staged) return true;
  if (!own.in_reached) {
    const std::uint64_t width = size_of(p.op.in);
    for (std::uint64_t i = 0; i < from_.size(); ++i) {
      copy(half(group_.rank(), p) + i * p.count * width, own.in + (i * p.op.count + p.at) * width,
           p.count * width);
    }
  }
  return meet(p);
}

bool peer_executor::reduce_scatter(const piece& p, const device_placement& own) {
  if (group_.size() == 1 && !own.in_reached) {  // nobody is there to stage for
    find_staging();
    const std::uint64_t most = half_bytes / size_of(p.op.in);
    for (std::uint64_t at = 0; at < p.count; at += most) {
      const std::uint64_t count = std::min(most, p.count - at);
      copy(mine().staging, own.in + at * size_of(p.op.in), count * size_of(p.op.in));
      from_[0] = mine().staging;
      const piece part{p.k, p.op, p.patience, false, at, count, 0};
      std::byte* const out = own.out + at * size_of(p.op.out);
      if (!own.out_reached) {
        sum_to_host(part, out);
      } else {
        queue_->sum(from_.data(), 1, p.op.in, out, p.op.out, count, p.op.mode);
      }
    }
    return true;
  }
  if (!bring_pieces(p, own)) return false;
  for (std::size_t i = 0; i < from_.size(); ++i) from_[i] = piece_for_me(p, in_world_order_[i]);
  std::byte* const out = own.out + p.at * size_of(p.op.out);
  if (!own.out_reached) {
    sum_to_host(p, out);
  } else {
    queue_->sum(from_.data(), from_.size(), p.op.in, out, p.op.out, p.count, p.op.mode);
  }
  return true;
}

// Sums from_ into memory that the device does not reach, by way of the last part of the staging.
void peer_executor::sum_to_host(const piece& p, std::byte* out) {
  std::byte* const between = mine().staging + 2 * half_bytes;
  const std::uint64_t width = size_of(p.op.out);
  const std::uint64_t most = half_bytes / width;
  for (std::uint64_t at = 0; at < p.count; at += most) {
    const std::uint64_t count = std::min(most, p.count - at);
    if (p.op.mode == write_mode::accumulate) copy(between, out + at * width, count * width);
    queue_->sum(from_.data(), from_.size(), p.op.in, between, p.op.out, count, p.op.mode);
    copy(out + at * width, between, count * width);
    for (const void*& from : from_) {
      from = static_cast<const std::byte*>(from) + count * size_of(p.op.in);
    }
  }
}

bool peer_executor::all_to_all(const piece& p, const device_placement& own) {
  if (!bring_pieces(p, own)) return false;
  const std::uint64_t width = size_of(p.op.in);
  const int me = group_.rank();
  for (int n = 0; n < group_.size(); ++n) {
    const int i = (me + n) % group_.size();
    const std::byte* const from =
        i == me ? own.in + (static_cast<std::uint64_t>(me) * p.op.count + p.at) * width
                : piece_for_me(p, i);
    copy(own.out + (static_cast<std::uint64_t>(i) * p.op.count + p.at) * width, from,
         p.count * width);
  }
  return true;
}

// Every rank sums its slice of the piece in place, in memory that peers can read; then every rank
// copies the others' slices.
bool peer_executor::all_reduce(const piece& p, const device_placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const int me = group_.rank();
  const std::uint64_t slice = (p.count + from_.size() - 1) / from_.size();
  const auto begin = [&](int i) {
    return std::min(static_cast<std::uint64_t>(i) * slice, p.count) * width;
  };
  const auto readable = [&](int i) {
    return is_staged(i, p.k) ? half(i, p) : const_cast<std::byte*>(source(i, p.k)) + p.at * width;
  };
  if (group_.size() == 1) return true;
  std::byte* const mine_at = readable(me);
  std::byte* const out = own.out + p.at * width;
  if (p.staged) {
    if (!own.in_reached) copy(mine_at, out, p.count * width);
    if (!meet(p)) return false;
  }
  for (std::size_t i = 0; i < from_.size(); ++i) {
    from_[i] = readable(in_world_order_[i]) + begin(me);
  }
  queue_->sum(from_.data(), from_.size(), p.op.in, mine_at + begin(me), p.op.in,
              (begin(me + 1) - begin(me)) / width, write_mode::overwrite);
  if (!meet(p)) return false;
  for (int n = 0; n < group_.size(); ++n) {
    const int i = (me + n) % group_.size();
    if (i == me && own.in_reached) continue;
    copy(out + begin(i), readable(i) + begin(i), begin(i + 1) - begin(i));
  }
  return true;
}

bool peer_executor::broadcast(const piece& p, const device_placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const std::uint64_t bytes = p.count * width;
  if (p.staged) {
    if (group_.rank() == p.op.root) copy(half(p.op.root, p), own.out + p.at * width, bytes);
    if (!meet(p)) return false;
  }
  if (group_.rank() == p.op.root) return true;
  copy(own.out + p.at * width,
       p.staged ? half(p.op.root, p) : source(p.op.root, p.k) + p.at * width, bytes);
  return true;
}

}  // namespace zero::collectives
