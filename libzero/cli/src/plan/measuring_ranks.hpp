#pragma once
// measuring_ranks: `zero plan --calibrate` on as many ranks as the plan has: processes of this
// machine, as `zero train` starts them.

#include "plan/ceilings_file.hpp"
#include "plan/planned_model.hpp"
#include "plan/planner_options.hpp"
#include "ranks/result_channel.hpp"

namespace zero::cli {

// Starts the ranks with the arguments of this command, and blocks until they have measured: a few
// seconds. Throws what a rank failed with; invalid_argument for a device that is not there.
[[nodiscard]] machine_record measure_by_ranks(const planner_options& o, const planned_model& model,
                                              const arguments& given);

// What such a rank does, whose starter listens; returns the exit code.
[[nodiscard]] int measure_as_rank(const planner_options& o, const planned_model& model,
                                  result_channel& starter);

}  // namespace zero::cli
