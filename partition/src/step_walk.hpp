#pragma once
// step_walk: the lanes of one rank in one step, walked in the order in which the engine queues.

#include <zero/partition/cost_model.hpp>

#include <algorithm>
#include <vector>

namespace zero::partition {

// What happens around one unit, seconds.
struct unit_times {
  double fetch_disk = 0;  // of its parameters, ahead of each gather
  double fetch_up = 0;
  double gather = 0;
  double gather_again = 0;  // from secondary parameters, all but the first time
  double reduce = 0;        // of its gradients, once
  double spill_down = 0;
  double spill_disk = 0;
};

// Seconds from a step's beginning until its last gradient is where it rests. `depth`: units
// gathered ahead. `slots`: where uses find their unit.
[[nodiscard]] double walk_passes(const std::vector<unit_times>& units, const compute_times& times,
                                 const slot_plan& slots, int depth, int micro_batches,
                                 bool reduce_once, bool one_processor);

// Seconds in which `count` things pass through parts that take `each` in a pipeline.
[[nodiscard]] inline double pipelined(const std::vector<double>& each, double count) {
  if (count <= 0) return 0;
  double sum = 0;
  double longest = 0;
  for (const double part : each) {
    sum += part;
    longest = std::max(longest, part);
  }
  return sum + (count - 1) * longest;
}

}  // namespace zero::partition
