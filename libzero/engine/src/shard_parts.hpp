#pragma once
// shard_parts: what of a rank's shards is visited when a state is read or written, and in which
// order. Pure functions of a state's layout and plan.

#include "state.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero {

// saved: the piece this rank owns of every bucket; kept: all that it has of it.
enum class shard_use : unsigned char { saved, kept };

// Elements that are read or written at a time, at most: whole blocks.
inline constexpr std::uint64_t part_elements = std::uint64_t{1} << 18U;

struct shard_part {
  std::size_t bucket = 0;
  std::size_t cell = partition::no_record;  // of plan.cells(); none: frozen, on the device
  std::uint64_t at = 0;                     // in the cell, or in the shard; a multiple of 128
  std::uint64_t count = 0;
  std::vector<parameter_run> runs;  // offsets from `at`
};

// Of trainable cells, ascending, then of frozen buckets.
[[nodiscard]] std::vector<shard_part> parts_of(const sharded_optimizer::state& s, shard_use use);
[[nodiscard]] std::vector<shard_extent> extents_of(const std::vector<shard_part>& parts);

// What of [from, to) of this rank's shard over `over` is of which parameter; offsets from `from`.
[[nodiscard]] std::vector<parameter_run> parts_between(const sharded_optimizer::state& s,
                                                       std::size_t bucket,
                                                       partition::sharded_over over,
                                                       std::uint64_t from, std::uint64_t to);

// Whether a walk on that errand comes to the cell.
[[nodiscard]] bool walked(const sharded_optimizer::state& s, const partition::cell& c, errand why);
// And leaves it as it is.
[[nodiscard]] constexpr bool reads(errand why) noexcept {
  return why == errand::read || why == errand::save;
}

}  // namespace zero
