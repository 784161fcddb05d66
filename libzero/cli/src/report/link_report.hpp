#pragma once
// link_report: what the links between tiers did in a run, and what they could have done.
//
// Pure.

#include "report/run_report.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <vector>

namespace zero::cli {

// "links" of zero.run/1: null where nothing is below the device. `seconds`: of all `steps`
// together. Everything is a step's, the mean over all of them: for disk_read, disk_written,
// host_to_device and device_to_host, of all ranks together and in "ranks" of each,
//
//   bytes          that went this way
//   reached        of those (host and device alone), bytes that were worked on where they rest and
//                  never copied
//   busy_seconds   in which at least one transfer was under way; of the rank that took longest
//   rate           bytes a second while busy, reached ones left out; summed over ranks
//   ceiling        bytes a second measured at the start, summed over ranks
//   utilisation    bytes / (ceiling * seconds of a step)
//   rate_fraction  rate / ceiling
//
// and in "overlap", means over ranks,
//
//   moving_seconds    in which at least one move between any tiers was under way
//   exposed_seconds   that the rank's thread spent in fetch and spill
//   hideable_seconds  the smaller of moving and the rest of the step, which is what is not exposed
//   hidden_seconds    moving - exposed, within 0 and hideable
//   fraction          hidden / hideable
//
// What cannot be said (not measured, nothing moved) is null.
[[nodiscard]] nlohmann::ordered_json links_json(const std::vector<rank_figures>& ranks,
                                                std::uint64_t steps, double seconds);

}  // namespace zero::cli
