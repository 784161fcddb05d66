#pragma once
// tier_traffic: the bytes one rank moves between tiers in a step, from which reports predict. The
// engine moves exactly these.
//
// Pure arithmetic; the same on every rank. A step is as communication_plan.hpp says: what lies
// between two applied updates, units used in the declared order, slots empty at its beginning. A
// step whose update is skipped, passes that only evaluate, checkpoints and the filling of tiers at
// the start are not in it.
//
// Bytes between host and device are those of elements: what a copy is asked for. Bytes of a disk
// are whole strides of records: what a transfer is. What rests in host memory is worked on there
// as it rests, so it crosses nothing on its way to or from an update on the host. Where an update
// reaches the other side's memory and works on it as it rests, it has crossed all the same.

#include <zero/partition/layout.hpp>
#include <zero/partition/memory_plan.hpp>

#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::partition {

struct tier_bytes {
  std::uint64_t host_to_device = 0;
  std::uint64_t device_to_host = 0;
  std::uint64_t disk_read = 0;
  std::uint64_t disk_written = 0;

  tier_bytes& operator+=(const tier_bytes& other) noexcept;
};

struct tier_traffic_plan {
  // Parameter records brought to the device ahead of each gather of their unit; secondary
  // parameters once a step, since they are gathered again from there.
  tier_bytes gathers;
  // Reduced pieces going down: the first of a step is spilled, in the dtype it rests in; each
  // further one is added to its record, crossing as added_type(), for which a disk's record is read
  // and written.
  tier_bytes gradients;
  // Cells. One that is down: its record of a disk is read and written; its gradient comes down from
  // the device or is read from a disk; its parameters go up to the device or are written to a disk.
  // Another, of a bucket with something off the device: its gradient comes up, its parameters go
  // down. The same parameters cross the other way before, where the update reads them: where a cell
  // has no whole fp32 master weights apart.
  tier_bytes updates;

  [[nodiscard]] tier_bytes step() const noexcept;
};

// micro_batches: forwards and backwards in a step, each reducing every unit once; 1 to
// plan.options().reductions, or invalid_argument.
[[nodiscard]] tier_traffic_plan plan_tier_traffic(const layout& of, const memory_plan& plan,
                                                  int micro_batches);

}  // namespace zero::partition
#pragma GCC visibility pop
