#pragma once
// cargo: where one rank's bytes of an operation lie, piece by piece. Immutable.

#include "transport/wire.hpp"

#include <algorithm>

namespace zero::collectives {

struct wire::cargo {
  cargo(const wire& ends, const seat_on_wire& at, const operation& what, const placement& where)
      : seat(at),
        op(what),
        own(where),
        width(size_of(what.in)),
        size(static_cast<int>(at.world_ranks.size())),
        slice((what.count + at.world_ranks.size() - 1) / at.world_ranks.size()),
        me(ends.who_.rank) {}

  [[nodiscard]] bool is_sliced() const noexcept { return op.kind == operation_kind::all_reduce; }
  // Bytes of rank r's piece: where it begins in the whole, and how many there are.
  [[nodiscard]] std::uint64_t begin(int r) const noexcept {
    const auto piece = static_cast<std::uint64_t>(r);
    return (is_sliced() ? std::min(piece * slice, op.count) : piece * op.count) * width;
  }
  [[nodiscard]] std::uint64_t bytes(int r) const noexcept {
    if (!is_sliced()) return op.count * width;
    return std::min(slice * width, op.count * width - begin(r));
  }
  // Of a chunk [at, at + length) of rank r's piece, how many bytes there are.
  [[nodiscard]] std::uint64_t clip(int r, std::uint64_t at, std::uint64_t length) const noexcept {
    const std::uint64_t all = bytes(r);
    return at < all ? std::min(length, all - at) : 0;
  }
  [[nodiscard]] std::size_t world_rank(int r) const noexcept {
    return static_cast<std::size_t>(seat.world_ranks[static_cast<std::size_t>(r)]);
  }

  const seat_on_wire& seat;
  const operation& op;
  const placement& own;
  std::uint64_t width;
  int size;
  std::uint64_t slice;  // elements
  int me;               // in the world
};

}  // namespace zero::collectives
