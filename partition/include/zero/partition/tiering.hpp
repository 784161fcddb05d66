#pragma once
// tiering: on which tier each class of model state rests, and the cells in which it is brought to
// be worked on.
//
// Plain values.

#include <zero/partition/sharding_policy.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

#pragma GCC visibility push(default)
namespace zero::partition {

enum class tier : unsigned char {
  device,  // where is computed: accounted as the class it is
  host,
  disk,
};
[[nodiscard]] const char* name_of(tier t) noexcept;

// What records of a tier begin at multiples of and are transferred in: what offload's stores of
// host memory and of a disk take. 1 for the device, which has no records.
[[nodiscard]] std::uint64_t tier_alignment(tier t) noexcept;

struct tiering {
  tier optimizer = tier::device;
  // Of the reduced shards, where gradients are sharded over just what the update walks; elsewhere
  // they stay on the device. Nothing: where the optimizer states are if all of them go down, else
  // the device, so that none cross a link twice.
  std::optional<tier> gradients;
  // Of the shards, where parameters are sharded like the optimizer states.
  tier parameters = tier::device;
  // The share of the bytes of optimizer states that goes down; 0 to 1. Cells are chosen so that
  // after each of them what is down is as near to this share as whole cells allow; a cell weighs
  // what would rest of it below the device.
  double optimizer_ratio = 1.0;
  // Elements of a cell, at most: 2048 times a power of two.
  std::uint64_t cell_elements = std::uint64_t{1} << 17;
  // Cells of an update under way at a time, from reading to having been written; at least 2.
  int depth = 8;
  // Records under way between a tier that must be read and the device, of either direction; at
  // least 2, for what is added to a record and the record.
  int bounces = 4;

  [[nodiscard]] bool any() const noexcept {
    return optimizer != tier::device || parameters != tier::device ||
           gradients.value_or(tier::device) != tier::device;
  }
};

// Whether parameters are sharded like the optimizer states, and gradients over just what an update
// walks, which is the world: only then can they rest off the device. `policy` is resolved.
[[nodiscard]] bool parameters_may_leave(const sharding_policy& policy) noexcept;
[[nodiscard]] bool gradients_may_leave(const sharding_policy& policy) noexcept;
// Where reduced gradients rest then, or the device.
[[nodiscard]] tier gradient_tier(const tiering& tiers, const sharding_policy& policy) noexcept;

// Throws invalid_argument, in one line: parameters off the device that are not sharded like the
// optimizer states, gradients that were asked off the device and cannot be, a ratio outside 0 to 1,
// cell_elements that are not as above, depth < 2, bounces < 2. `policy` is resolved.
void check(const tiering& tiers, const sharding_policy& policy);

inline constexpr std::size_t no_record = static_cast<std::size_t>(-1);

// A run of elements of one bucket within one rank's shard of it and within one piece. The cells of
// a bucket lie back to back and cover the shard that an update walks, or, of what is not trainable,
// the resting shard of its parameters. Where nothing of a bucket is off the device, one cell is all
// of it, across pieces.
struct cell {
  std::size_t bucket = 0;
  std::uint64_t begin = 0;  // elements, in the shard
  std::uint64_t count = 0;  // a multiple of 128
  bool down = false;        // its optimizer states rest below the device
  bool master = false;      // keeps fp32 master weights apart from its parameters
  // Where its optimizer arrays begin in what rests of the bucket on the device, bytes; or their
  // record in the optimizer's tier.
  std::uint64_t at = 0;
  std::size_t optimizer_record = no_record;
  std::size_t gradient_record = no_record;   // where its reduced gradient is off the device
  std::size_t parameter_record = no_record;  // where its parameters are
};

// So many cells that differ in their place alone: `each` says nothing of where it begins.
struct cell_tally {
  cell each;
  std::uint64_t times = 0;
};

}  // namespace zero::partition
#pragma GCC visibility pop
