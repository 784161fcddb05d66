#pragma once
// One operation as two_level cuts and moves it.

#include "mpi/two_level.hpp"

#include <algorithm>
#include <cstring>

namespace zero::collectives {

inline constexpr std::uint64_t lag = 2;     // rounds between sending and using
inline constexpr std::uint64_t window = 4;  // rounds whose buffers are apart: 2 * lag
inline constexpr std::uint64_t round_bytes = std::uint64_t{1} << 20;  // of one round, each way

struct two_level::job {
  std::uint64_t k;
  const operation& op;
  const placement& own;
  moved_elements what;
  int size = 0;               // ranks
  std::uint64_t width = 0;    // bytes of an element of op.in
  std::uint64_t longest = 0;  // elements of the longest piece
  std::uint64_t part = 0;     // of them moved in a round, of each piece
  std::uint64_t rounds = 0;

  // First element of a piece in a buffer of all pieces.
  [[nodiscard]] std::uint64_t begin(int piece) const noexcept {
    const std::uint64_t at = static_cast<std::uint64_t>(piece) * longest;
    return op.kind == operation_kind::all_reduce ? std::min(at, op.count) : at;
  }
  // Elements of a piece that round t moves.
  [[nodiscard]] std::uint64_t count(int piece, std::uint64_t t) const noexcept {
    const std::uint64_t all = piece_count(what, size, piece);
    return all > t * part ? std::min(part, all - t * part) : 0;
  }
  // Where this rank's sum goes.
  [[nodiscard]] std::byte* sum_at(int me, std::uint64_t t) const noexcept {
    const std::uint64_t first = op.kind == operation_kind::all_reduce ? begin(me) : 0;
    return own.out + (first + t * part) * size_of(op.out);
  }
};

inline void copy_bytes(std::byte* to, const std::byte* from, std::uint64_t bytes) noexcept {
  if (to != from && bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace zero::collectives
