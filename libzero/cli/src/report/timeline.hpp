#pragma once
// timeline: one step of a rank as it went: what its lanes did, what memory was in use, how much of
// what the other lanes did was hidden behind computing.
//
// Pure.

#include <zero/base/memory_statistics.hpp>
#include <zero/base/trace.hpp>
#include <zero/partition/layout.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace zero::cli {

// A step that was recorded from its begin to its end, in trace_clock().
struct traced_step {
  std::uint64_t step = 0;  // from 1
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// What is between begin and end on one lane, which unit it was for (-1: none) and its verb.
struct slice {
  const char* verb = "";
  lane where = lane::compute;
  int unit = -1;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// All that was recorded, by begin. Collectives name buckets: here they have those buckets' units.
[[nodiscard]] std::vector<slice> slices_of(const trace_recorder& recorder,
                                           const partition::layout& layout);

// For each slice which of several tracks of its lane it goes to, 0 first: those of one track do
// not overlap, but for the compute lane, where verbs stand within verbs and all have track 0.
[[nodiscard]] std::vector<int> tracks_of(const std::vector<slice>& slices);

// "timeline" of zero.run/1, of that one of `steps` whose length is nearest to `median` seconds:
//
//   rank, step, seconds
//   units     their names
//   lanes     their names
//   slices    lane and unit (by number), verb, begin and end (seconds of the step), by begin
//   memory    bytes: what the rank held of each account all the time, buffers without the slots
//             that full parameters and full gradients come to and go from; of those,
//             slots_reserved, and slots_in_use: bytes from each second on
//   overlap   for each lane but compute: busy_seconds in which it did something, hidden_seconds of
//             those in which the compute lane computed (forward, backward, update), their fraction
//
// Null where no step was recorded whole.
[[nodiscard]] nlohmann::ordered_json timeline_json(const trace_recorder& recorder,
                                                   const partition::layout& layout,
                                                   const std::vector<traced_step>& steps,
                                                   double median, const memory_by_account& held);

}  // namespace zero::cli
