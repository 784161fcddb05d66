#pragma once
// cost_model: how long a step takes on a machine of given ceilings: what no schedule can beat, and
// what the library's own schedule makes of it.
//
// Pure arithmetic; the same on every rank. A step is as communication_plan.hpp says. Bytes are
// those of the plans; times are bytes over ceilings. Collectives take (n - 1) / n of their bytes
// over the bus bandwidth, as nccl-tests counts it, and a time for each call.

#include <zero/partition/layout.hpp>
#include <zero/partition/memory_plan.hpp>

#include <array>
#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::partition {

// What a rank reaches while all ranks do the same: bytes and calls a second. 0: takes no time.
struct machine_ceilings {
  double all_gather = 0;      // bus bandwidth: (n - 1) / n of the full buffer
  double reduce_scatter = 0;  // likewise; all_to_all too
  double call_seconds = 0;    // of each collective, beside its bytes
  double device_memory = 0;  // read and written by an update where it finds its state on the device
  double host_memory = 0;    // likewise in host memory, by an update below the device
  double host_to_device = 0;
  double device_to_host = 0;
  double disk_read = 0;
  double disk_written = 0;
  double disk_both = 0;     // read and written together while both are under way; 0: as if apart
  double cell_seconds = 0;  // of each cell of an update that is off the device, beside its bytes
  // One processor computes, reduces, copies and updates, so that of these nothing overlaps: ranks
  // on a host's cores.
  bool one_processor = false;
};

// What the client computes: seconds of one rank and micro-batch, by use of forward_order.
struct compute_times {
  std::vector<double> forward;
  std::vector<double> backward;  // of the same use
  double beside = 0;             // of a step, beside all uses
};

// What a step may wait for.
enum class step_resource : unsigned char {
  compute,
  communication,
  update,  // memory where the optimizer is updated
  host_to_device,
  device_to_host,
  disk,
};
inline constexpr std::size_t step_resource_count = 6;
[[nodiscard]] const char* name_of(step_resource r) noexcept;

struct step_estimate {
  // Seconds each is busy in a step.
  std::array<double, step_resource_count> busy{};
  double lower_bound = 0;  // the longest of those that must run one after the other
  double estimate = 0;     // with the schedule the engine keeps
  step_resource bound_by = step_resource::compute;  // the busiest
};

// micro_batches: as plan_communication takes them. Throws invalid_argument for others, for times
// that are not those of options().forward_order, and for ceilings or times below 0 or not finite.
[[nodiscard]] step_estimate estimate_step(const layout& of, const memory_plan& plan,
                                          const compute_times& times,
                                          const machine_ceilings& ceilings, int micro_batches);

// Bytes that an update reads and writes where its states rest: optimizer arrays twice, reduced
// gradients for the norm and the update, parameters written, and read where they are the master
// weights.
struct update_traffic {
  std::uint64_t device = 0;
  std::uint64_t host = 0;       // of cells that are down
  std::uint64_t cells_off = 0;  // cells that something is brought or carried off for
};
[[nodiscard]] update_traffic plan_update_traffic(const layout& of, const memory_plan& plan);

}  // namespace zero::partition
#pragma GCC visibility pop
