#pragma once
// fit: what has to rest on a disk so that a rank stays inside a budget of memory.
//
// Pure arithmetic; the same on every rank.

#include <zero/partition/layout.hpp>
#include <zero/partition/memory_plan.hpp>
#include <zero/partition/tiering.hpp>

#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::partition {

// What may be chosen anew; the rest is kept as options.tiers has it. Cells, depth and bounces may
// always become fewer than there, and never more.
struct free_tiers {
  bool optimizer = false;
  bool ratio = false;  // only with the optimizer
  bool gradients = false;
  bool parameters = false;
};

struct fitted {
  bool fits = false;
  // The choice; if nothing fits, the one that takes least memory.
  tiering tiers;
  // memory_plan::peak() with it. So if nothing fits, the smallest budget that would do.
  std::uint64_t bytes = 0;
};

// The first of these that takes at most `budget` bytes of device and host memory together. Host
// memory counts, so what is chosen goes to the disk.
//
//   nothing of what may be chosen off the device;
//   the optimizer states, 1 to 99 hundredths;
//   all of them, and gradients where the policy lets them;
//   and parameters where it lets them;
//   the same again with ever smaller cells, then fewer cells and bounces under way, down to 2^14
//   elements, 2 cells and 2 bounces.
//
// Throws what memory_plan does.
[[nodiscard]] fitted fit(const layout& of, const plan_options& options, std::uint64_t budget,
                         const free_tiers& may);

}  // namespace zero::partition
#pragma GCC visibility pop
