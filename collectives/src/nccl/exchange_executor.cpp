#include "nccl/exchange_executor.hpp"

#include "device/poll.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace zero::collectives {

// Elements [at, at + count) of the `op.count` of a piece (of a rank's slice for all_reduce).
struct exchange_executor::piece {
  const operation& op;
  bool staged;  // by every rank, if any rank's memory is foreign
  std::uint64_t at;
  std::uint64_t count;
  std::uint64_t slice;  // of all_reduce: elements that each rank sums, at most
};

namespace {

constexpr std::uint64_t in_is_foreign = 1;
constexpr std::uint64_t out_is_foreign = 2;

}  // namespace

exchange_executor::exchange_executor(group& ranks, std::shared_ptr<device_queue> queue,
                                     exchange_staging staging, std::shared_ptr<link> peers)
    : group_(ranks),
      queue_(std::move(queue)),
      staging_(std::move(staging)),
      link_(std::move(peers)),
      events_(queue_->make_events(outstanding)),
      in_world_order_(static_cast<std::size_t>(ranks.size())),
      from_(static_cast<std::size_t>(ranks.size())) {
  std::iota(in_world_order_.begin(), in_world_order_.end(), 0);
  std::sort(in_world_order_.begin(), in_world_order_.end(),
            [&](int a, int b) { return ranks.world_rank(a) < ranks.world_rank(b); });
  link_->watch([&ranks] { return ranks.poisoned() == nullptr; });
}

std::uint64_t exchange_executor::source_of(const device_placement& own) const noexcept {
  return (own.in_reached ? 0 : in_is_foreign) | (own.out_reached ? 0 : out_is_foreign);
}

// ---- the life of an operation -----------------------------------------------------------------

bool exchange_executor::run(std::uint64_t k, const device_placement& own, steady::duration) {
  const operation& op = group_.posted_by(group_.rank(), k);
  if (op.kind == operation_kind::split) return true;
  if (op.kind == operation_kind::barrier) {
    if (group_.size() > 1) {  // done on the device only when all have come to it there
      link_->all_gather(staging_.received() + group_.rank(), staging_.received(), 1);
    }
    return true;
  }
  bool staged = false;
  for (int i = 0; i < group_.size(); ++i) staged = staged || group_.posted_by(i, k).source != 0;
  const auto n = static_cast<std::uint64_t>(group_.size());
  const std::uint64_t slice =
      op.kind == operation_kind::all_reduce ? (op.count + n - 1) / n : op.count;
  const std::uint64_t most = most_of_piece(op, staged);
  for (std::uint64_t at = 0; at < slice; at += most) {
    const piece p{op, staged, at, std::min(most, slice - at), slice};
    if (op.kind == operation_kind::all_gather) all_gather(p, own);
    if (op.kind == operation_kind::reduce_scatter) reduce_scatter(p, own);
    if (op.kind == operation_kind::all_to_all) all_to_all(p, own);
    if (op.kind == operation_kind::all_reduce) all_reduce(p, own);
    if (op.kind == operation_kind::broadcast) broadcast(p, own);
  }
  return group_.poisoned() == nullptr;
}

// The same on every rank. Sums go through what is received, foreign memory through all three parts.
// Pieces keep the alignment of what they are cut from.
std::uint64_t exchange_executor::most_of_piece(const operation& op, bool staged) const noexcept {
  const bool sums =
      op.kind == operation_kind::reduce_scatter || op.kind == operation_kind::all_reduce;
  if (!sums && !staged) return std::max<std::uint64_t>(op.count, 1);
  const bool one_for_all = op.kind == operation_kind::broadcast;
  const auto n = one_for_all ? 1 : static_cast<std::uint64_t>(group_.size());
  const std::uint64_t room = staged ? staging_.foreign_bytes() : staging_.received_bytes();
  const std::uint64_t width = std::max(size_of(op.in), size_of(op.out));
  const std::uint64_t most = room / (n * width);
  return most >= 128 ? most / 128 * 128 : most;
}

void exchange_executor::conclude(std::uint64_t k) {
  events_->record(k % outstanding, queue_->lane());
  concluded_.store(k + 1);
}

void exchange_executor::order(std::uint64_t k, stream& later) {
  events_->order(k % outstanding, later);
}

bool exchange_executor::done(std::uint64_t k) {
  if (events_->done(k % outstanding)) return true;
  const std::lock_guard lock(aborting_);
  if (!aborted_) link_->check();
  return false;
}

// Peers that are gone leave kernels behind that wait for them: those are ended first.
void exchange_executor::quiet(bool poisoned, steady::duration patience) noexcept {
  static_cast<void>(poll([&] { return !moving_.load(); }, patience));
  if (poisoned) {
    const std::lock_guard lock(aborting_);
    if (!aborted_) link_->abort();
    aborted_ = true;
  }
  const std::uint64_t last = concluded_.load();
  if (last == 0) return;
  const auto over = [&] {
    try {
      return events_->done((last - 1) % outstanding);
    } catch (...) {
      return true;  // a device that failed uses nothing any more
    }
  };
  static_cast<void>(poll(over, patience));
}

executor::maker exchange_executor::split(int color, int position) {
  std::shared_ptr<link> part = link_->split(color, position);
  return [part, queue = queue_, staging = staging_](group& ranks, std::uint64_t) {
    return std::make_unique<exchange_executor>(ranks, queue, staging, part);
  };
}

// ---- the operations ---------------------------------------------------------------------------

void exchange_executor::copy(void* to, const void* from, std::uint64_t bytes) {
  if (to != from && bytes > 0) queue_->copy(to, from, bytes);
}

void exchange_executor::all_gather(const piece& p, const device_placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const std::uint64_t bytes = p.count * width;
  const bool alone = group_.size() == 1;
  if (!p.staged) {
    return alone ? copy(own.out, own.in, bytes) : link_->all_gather(own.in, own.out, bytes);
  }
  copy(alone ? staging_.out() : staging_.in(), own.in + p.at * width, bytes);
  if (!alone) link_->all_gather(staging_.in(), staging_.out(), bytes);
  for (std::uint64_t i = 0; i < from_.size(); ++i) {
    copy(own.out + (i * p.op.count + p.at) * width, staging_.out() + i * bytes, bytes);
  }
}

// out = the sum, in the order of world ranks, of what was received and `mine`, this rank's own.
// Rank i's lies at i * pitch bytes of what was received.
void exchange_executor::sum_received(const piece& p, const std::byte* mine, std::uint64_t pitch,
                                     std::byte* out, std::uint64_t count) {
  for (std::size_t i = 0; i < from_.size(); ++i) {
    const int rank = in_world_order_[i];
    from_[i] = rank == group_.rank()
                   ? mine
                   : staging_.received() + static_cast<std::uint64_t>(rank) * pitch;
  }
  if (count == 0) return;
  queue_->sum(from_.data(), from_.size(), p.op.in, out, p.op.out, count, p.op.mode);
}

void exchange_executor::reduce_scatter(const piece& p, const device_placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const std::uint64_t bytes = p.count * width;
  const std::uint64_t out_bytes = p.count * size_of(p.op.out);
  const auto at = [&](int rank) {  // this rank's piece for `rank`
    const auto i = static_cast<std::uint64_t>(rank);
    return p.staged ? staging_.in() + i * bytes : own.in + (i * p.op.count + p.at) * width;
  };
  for (int i = 0; p.staged && i < group_.size(); ++i) {
    copy(at(i), own.in + (static_cast<std::uint64_t>(i) * p.op.count + p.at) * width, bytes);
  }
  link_->begin();
  for (int i = 0; i < group_.size(); ++i) {
    if (i == group_.rank()) continue;
    link_->send(at(i), bytes, i);
    link_->receive(staging_.received() + static_cast<std::uint64_t>(i) * bytes, bytes, i);
  }
  link_->end();
  std::byte* const result = own.out + p.at * size_of(p.op.out);
  std::byte* const out = p.staged ? staging_.out() : result;
  if (p.staged && p.op.mode == write_mode::accumulate) copy(out, result, out_bytes);
  sum_received(p, at(group_.rank()), bytes, out, p.count);
  copy(result, out, out_bytes);
}

void exchange_executor::all_to_all(const piece& p, const device_placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const std::uint64_t bytes = p.count * width;
  const auto offset = [&](int rank) {
    return (static_cast<std::uint64_t>(rank) * p.op.count + p.at) * width;
  };
  const auto in = [&](int i) {
    return p.staged ? staging_.in() + static_cast<std::uint64_t>(i) * bytes : own.in + offset(i);
  };
  const auto out = [&](int i) {
    return p.staged ? staging_.out() + static_cast<std::uint64_t>(i) * bytes : own.out + offset(i);
  };
  for (int i = 0; i < group_.size(); ++i) copy(in(i), own.in + offset(i), bytes);
  copy(out(group_.rank()), in(group_.rank()), bytes);
  link_->begin();
  for (int i = 0; i < group_.size(); ++i) {
    if (i == group_.rank()) continue;
    link_->send(in(i), bytes, i);
    link_->receive(out(i), bytes, i);
  }
  link_->end();
  for (int i = 0; i < group_.size(); ++i) copy(own.out + offset(i), out(i), bytes);
}

// Every rank sums a slice of its own in place and sends it to the others.
void exchange_executor::all_reduce(const piece& p, const device_placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const std::uint64_t pitch = p.count * width;
  const int me = group_.rank();
  const auto begin = [&](int i) {  // the piece of rank i's slice, cut at the end of the data
    return std::min(static_cast<std::uint64_t>(i) * p.slice + p.at, p.op.count);
  };
  const auto count = [&](int i) {
    return std::min(static_cast<std::uint64_t>(i) * p.slice + p.at + p.count, p.op.count) -
           begin(i);
  };
  const auto at = [&](int i) {
    return p.staged ? staging_.in() + static_cast<std::uint64_t>(i) * pitch
                    : own.out + begin(i) * width;
  };
  for (int i = 0; i < group_.size(); ++i) copy(at(i), own.out + begin(i) * width, count(i) * width);
  link_->begin();
  for (int i = 0; i < group_.size(); ++i) {
    if (i == me) continue;
    if (count(i) > 0) link_->send(at(i), count(i) * width, i);
    if (count(me) > 0) {
      link_->receive(staging_.received() + static_cast<std::uint64_t>(i) * pitch, count(me) * width,
                     i);
    }
  }
  link_->end();
  sum_received(p, at(me), pitch, at(me), count(me));
  link_->begin();
  for (int i = 0; i < group_.size(); ++i) {
    if (i == me) continue;
    if (count(me) > 0) link_->send(at(me), count(me) * width, i);
    if (count(i) > 0) link_->receive(at(i), count(i) * width, i);
  }
  link_->end();
  for (int i = 0; i < group_.size(); ++i) copy(own.out + begin(i) * width, at(i), count(i) * width);
}

void exchange_executor::broadcast(const piece& p, const device_placement& own) {
  if (group_.size() == 1) return;
  const std::uint64_t bytes = p.count * size_of(p.op.in);
  std::byte* const here = own.out + p.at * size_of(p.op.in);
  std::byte* const at = p.staged ? staging_.in() : here;
  if (group_.rank() == p.op.root) copy(at, here, bytes);
  link_->broadcast(at, bytes, p.op.root);
  if (group_.rank() != p.op.root) copy(here, at, bytes);
}

}  // namespace zero::collectives
