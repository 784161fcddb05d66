#pragma once
// slot_plan: how few reusable buffers of which sizes serve an order of uses, found by walking the
// order once before anything runs.
//
// Pure arithmetic; the same on every rank.

#include <zero/base/span.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::partition {

// One use of a unit, and the slot it is to be found in; no_slot for a unit that needs none.
struct slot_use {
  int unit = 0;
  std::size_t slot = 0;
};
inline constexpr std::size_t no_slot = static_cast<std::size_t>(-1);

struct slot_plan {
  std::vector<std::uint64_t> slot_bytes;
  std::vector<slot_use> uses;  // in order
  // Nothing is found where an earlier use left it.
  bool forgets = false;

  [[nodiscard]] std::uint64_t total_bytes() const noexcept;
};

// Every use in `order`, one after the other, needs bytes[unit] from `ahead` uses before it until
// its own end. A unit needed again within that window keeps its slot. Units of 0 bytes need none.
// At least ahead + 1 slots exist where anything needs one, unless fewer uses do.
[[nodiscard]] slot_plan plan_gathers(span<const int> order, span<const std::uint64_t> bytes,
                                     int ahead);

// Each unit in `order` needs bytes[unit] from its first use to its last and, while what was put
// there is carried off, during `linger` uses more. uses[i] is of order[i].
[[nodiscard]] slot_plan plan_spans(span<const int> order, span<const std::uint64_t> bytes,
                                   int linger);

}  // namespace zero::partition
#pragma GCC visibility pop
