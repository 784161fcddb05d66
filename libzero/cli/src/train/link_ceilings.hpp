#pragma once
// link_ceilings: how fast this machine moves bytes between tiers, measured for a moment before a
// run: what the use of each link is held against in its report.

#include "train/train_rank.hpp"

#include <zero/optim/processor.hpp>

#include <cstdint>
#include <vector>

namespace zero::cli {

// Bytes a second of one rank while all of them move; 0: not measured.
struct link_ceilings {
  double disk_read = 0.0;
  double disk_written = 0.0;
  double host_to_device = 0.0;
  double device_to_host = 0.0;
  double seconds = 0.0;  // that measuring took
};

// What one rank measures with. All 0: nothing to measure.
struct link_trial {
  std::uint64_t memory = 0;  // bytes of each of two blocks, a host's and a device's
  std::uint64_t record = 0;  // bytes of one transfer of a disk; 0: no disk is measured
  std::uint64_t records = 0;
};

// For a rank that will hold `host` bytes in host memory and `disk` bytes on a disk, and at most
// `budget` bytes of memory (0: no limit). Takes at most 16 MiB of memory and no more than the
// budget, and at most 16 MiB of the disk and no more than the run. Pure.
[[nodiscard]] link_trial plan_link_trial(std::uint64_t host, std::uint64_t disk,
                                         std::uint64_t budget);

// Measures the links that a run with these options uses, on all ranks at once, since they share
// them; nothing where all rests on the device or --measure-links is off. Collective over
// `place.ranks`. Blocks for 0.15 to 0.25 s; memory and files are gone when it returns. What cannot
// be measured (a disk without room) is 0 and no error: the run will tell.
[[nodiscard]] link_ceilings measure_links(const train_options& options, const rank_place& place,
                                          optim::processor& work);

}  // namespace zero::cli
