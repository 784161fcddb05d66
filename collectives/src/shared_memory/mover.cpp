#include "shared_memory/mover.hpp"

#include "sum.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace zero::collectives {

// Elements [at, at + count) of operation k's `op.count`.
struct mover::piece {
  std::uint64_t k;
  const operation& op;
  steady::duration patience;
  bool staged;
  std::uint64_t at;
  std::uint64_t count;
  std::uint64_t number;  // from 0; staged pieces take the halves of the staging areas in turn
};

namespace {

constexpr std::uint64_t half_bytes = staging_bytes / 2;
// After so many bytes of a rank's piece it has moved, for those who wait for it.
constexpr std::uint64_t noted_bytes = std::uint64_t{32} << 20;

void copy_bytes(std::byte* to, const std::byte* from, std::uint64_t bytes) noexcept {
  if (to != from && bytes > 0) std::memcpy(to, from, bytes);
}

// Whose memory peers read, of one operation.
bool is_read(const operation& op, int rank) noexcept {
  return op.kind != operation_kind::broadcast || rank == op.root;
}

// Whether a rank's memory has a piece for every rank: all of them are staged at a time.
bool has_pieces(const operation& op) noexcept {
  return op.kind == operation_kind::reduce_scatter || op.kind == operation_kind::all_to_all;
}

}  // namespace

mover::mover(group& ranks)
    : group_(ranks),
      in_world_order_(static_cast<std::size_t>(ranks.size())),
      from_(static_cast<std::size_t>(ranks.size())) {
  std::iota(in_world_order_.begin(), in_world_order_.end(), 0);
  std::sort(in_world_order_.begin(), in_world_order_.end(),
            [&](int a, int b) { return ranks.world_rank(a) < ranks.world_rank(b); });
}

bool mover::run(std::uint64_t k, const placement& own, steady::duration patience) {
  const operation& op = group_.posted_by(group_.rank(), k);
  if (op.kind == operation_kind::barrier) return true;
  const bool staged = needs_staging(k, op);
  std::uint64_t most = noted_bytes / size_of(op.in);
  if (staged) {
    const auto pieces = has_pieces(op) ? static_cast<std::uint64_t>(group_.size()) : 1;
    most = half_bytes / (pieces * size_of(op.in));
  }
  std::uint64_t number = 0;
  for (std::uint64_t at = 0; at < op.count; at += most, ++number) {
    const piece p{k, op, patience, staged, at, std::min(most, op.count - at), number};
    // A split gathers what ranks say of themselves, where that is not in the control pages.
    const bool went = op.kind == operation_kind::reduce_scatter ? reduce_scatter(p, own)
                      : op.kind == operation_kind::all_to_all   ? all_to_all(p, own)
                      : op.kind == operation_kind::all_reduce   ? all_reduce(p, own)
                      : op.kind == operation_kind::broadcast    ? broadcast(p, own)
                                                                : all_gather(p, own);
    if (!went) return false;
    group_.note_progress();
  }
  return true;
}

// All ranks come to the same answer, each from what all posted.
bool mover::needs_staging(std::uint64_t k, const operation& op) const noexcept {
  if (group_.size() == 1) return false;
  for (int i = 0; i < group_.size(); ++i) {
    if (is_read(op, i) && group_.posted_by(i, k).source == nowhere) return true;
  }
  return false;
}

// Where `rank` stages this piece. Two halves in turn: by the meeting of the next piece every rank
// has finished with this one.
std::byte* mover::half(int rank, const piece& p) const noexcept {
  return group_.staging(rank) + (p.number % 2) * half_bytes;
}

bool mover::all_gather(const piece& p, const placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const std::uint64_t bytes = p.count * width;
  const int me = group_.rank();
  if (p.staged) {
    if (p.op.source == nowhere) copy_bytes(half(me, p), own.in + p.at * width, bytes);
    if (!group_.meet(p.k, p.patience)) return false;
  }
  for (int i = 0; i < group_.size(); ++i) {
    const std::uint64_t source = group_.posted_by(i, p.k).source;
    const std::byte* const from = i == me ? own.in + p.at * width
                                  : source == nowhere
                                      ? half(i, p)
                                      : group_.pages().file().base() + source + p.at * width;
    copy_bytes(own.out + (static_cast<std::uint64_t>(i) * p.op.count + p.at) * width, from, bytes);
  }
  return true;
}

// Stages this rank's pieces if peers cannot read them where they are; after the meeting all have.
bool mover::show_pieces(const piece& p, const placement& own) {
  if (!p.staged) return true;
  if (p.op.source == nowhere) {
    const std::uint64_t width = size_of(p.op.in);
    for (std::uint64_t i = 0; i < from_.size(); ++i) {
      copy_bytes(half(group_.rank(), p) + i * p.count * width,
                 own.in + (i * p.op.count + p.at) * width, p.count * width);
    }
  }
  return group_.meet(p.k, p.patience);
}

// What rank `from` has for this rank.
const std::byte* mover::piece_for_me(const piece& p, const placement& own, int from) const {
  const std::uint64_t width = size_of(p.op.in);
  const auto me = static_cast<std::uint64_t>(group_.rank());
  const std::uint64_t within = (me * p.op.count + p.at) * width;
  if (from == group_.rank()) return own.in + within;
  const std::uint64_t source = group_.posted_by(from, p.k).source;
  if (source == nowhere) return half(from, p) + me * p.count * width;
  return group_.pages().file().base() + source + within;
}

bool mover::reduce_scatter(const piece& p, const placement& own) {
  if (!show_pieces(p, own)) return false;
  for (std::size_t i = 0; i < from_.size(); ++i)
    from_[i] = piece_for_me(p, own, in_world_order_[i]);
  sum(from_.data(), from_.size(), p.op.in, own.out + p.at * size_of(p.op.out), p.op.out, p.count,
      p.op.mode);
  return true;
}

bool mover::all_to_all(const piece& p, const placement& own) {
  if (!show_pieces(p, own)) return false;
  const std::uint64_t width = size_of(p.op.in);
  for (int i = 0; i < group_.size(); ++i) {
    copy_bytes(own.out + (static_cast<std::uint64_t>(i) * p.op.count + p.at) * width,
               piece_for_me(p, own, i), p.count * width);
  }
  return true;
}

// Every rank sums its slice of the piece in place, in memory that peers can read; then every rank
// copies the others' slices.
bool mover::all_reduce(const piece& p, const placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const int me = group_.rank();
  const std::uint64_t slice = (p.count + from_.size() - 1) / from_.size();
  const auto begin = [&](int i) {
    return std::min(static_cast<std::uint64_t>(i) * slice, p.count) * width;
  };
  const auto readable = [&](int i) {
    const std::uint64_t source = group_.posted_by(i, p.k).source;
    return source == nowhere ? half(i, p) : group_.pages().file().base() + source + p.at * width;
  };
  if (group_.size() == 1) return true;
  std::byte* const mine = readable(me);
  std::byte* const out = own.out + p.at * width;
  if (p.staged) {
    if (p.op.source == nowhere) copy_bytes(mine, out, p.count * width);
    if (!group_.meet(p.k, p.patience)) return false;
  }
  for (std::size_t i = 0; i < from_.size(); ++i) {
    from_[i] = readable(in_world_order_[i]) + begin(me);
  }
  sum(from_.data(), from_.size(), p.op.in, mine + begin(me), p.op.in,
      (begin(me + 1) - begin(me)) / width, write_mode::overwrite);
  if (!group_.meet(p.k, p.patience)) return false;
  for (int i = 0; i < group_.size(); ++i) {
    if (i == me && p.op.source != nowhere) continue;
    copy_bytes(out + begin(i), readable(i) + begin(i), begin(i + 1) - begin(i));
  }
  return true;
}

bool mover::broadcast(const piece& p, const placement& own) {
  const std::uint64_t width = size_of(p.op.in);
  const bool sends = group_.rank() == p.op.root;
  const std::uint64_t source = group_.posted_by(p.op.root, p.k).source;
  if (p.staged) {
    if (sends) copy_bytes(half(p.op.root, p), own.out + p.at * width, p.count * width);
    if (!group_.meet(p.k, p.patience)) return false;
  }
  if (sends) return true;
  const std::byte* const from =
      source == nowhere ? half(p.op.root, p) : group_.pages().file().base() + source + p.at * width;
  copy_bytes(own.out + p.at * width, from, p.count * width);
  return true;
}

}  // namespace zero::collectives
