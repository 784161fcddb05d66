#pragma once
// What a sharded_optimizer tells about itself: plain values.

#include <zero/base/memory_statistics.hpp>

#include <array>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero {

// Bytes of one rank.
struct memory_report {
  memory_by_account predicted{};  // by the layout alone
  memory_by_account measured{};   // of what is allocated now
  std::uint64_t predicted_peak = 0;
  std::uint64_t measured_peak = 0;
};

enum class phase : unsigned char {
  fetch,
  gather,
  compute,
  release,
  reduce,
  clip,
  update,
  publish,
  spill,
  exposed_communication,
};
inline constexpr std::size_t phase_count = 10;
[[nodiscard]] const char* name_of(phase p) noexcept;

// Seconds the calling thread has spent in each verb since construction. exposed_communication is
// the part of all verbs in which it waited for a peer or a copy; compute is what lies between
// calls and is filled in by the client.
using seconds_by_phase = std::array<double, phase_count>;

struct step_result {
  std::uint64_t step = 0;      // updates made so far, this one included
  double gradient_norm = 0.0;  // global L2 norm, unscaled, before clipping; the same on all ranks
  bool skipped = false;        // gradients were not finite: nothing was written
  float loss_scale = 1.0F;     // that the gradients of this step carried
};

// What one rank moved between tiers since construction. On a CPU the device is the memory of the
// rank's communicator.
struct tier_report {
  std::uint64_t host_to_device = 0;  // bytes
  std::uint64_t device_to_host = 0;
  std::uint64_t disk_read = 0;
  std::uint64_t disk_written = 0;
  // Of the bytes between host and device, those that an update reached where they rest: they were
  // not copied.
  std::uint64_t host_to_device_reached = 0;
  std::uint64_t device_to_host_reached = 0;
  // Seconds in which at least one transfer of the direction was under way; in which any move
  // between tiers was; and those of the calling thread in fetch and spill: what was not hidden
  // behind computing.
  double disk_reading = 0.0;
  double disk_writing = 0.0;
  double copying_up = 0.0;
  double copying_down = 0.0;
  double moving = 0.0;
  double exposed = 0.0;
};

// How the schedule was kept.
struct schedule_report {
  std::uint64_t gathers = 0;     // calls of gather
  std::uint64_t prefetched = 0;  // of those, served by a gather queued ahead or still there
  std::uint64_t on_demand = 0;   // of those, outside the declared order
  std::uint64_t early = 0;       // cells updated before their step, while a backward went on
};

}  // namespace zero
#pragma GCC visibility pop
