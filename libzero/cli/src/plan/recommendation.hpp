#pragma once
// recommendation: of all ways to train a model that a plan looks at, the one to take, and why.
//
// Pure functions.

#include "plan/planned_run.hpp"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace zero::cli {

struct recommended_run {
  planned_run run;
  std::string reason;  // a sentence
  std::vector<planned_run> looked_at;
};

// Looks at every stage and offload asked for that a configuration can say, with all of the
// optimizer states offloaded or a quarter, half or three quarters, with no, one and two units
// gathered ahead, and, where nothing fits, with ever more micro-batches. The fastest by estimate;
// of those within a hundredth of it the one that holds least. Nothing where none fits.
[[nodiscard]] std::optional<recommended_run> recommend(const planner_options& o,
                                                       const planned_model& model,
                                                       const plan_ceilings& ceilings);

// "recommendation" of the report.
[[nodiscard]] nlohmann::ordered_json describe(const recommended_run& found, int ranks);

// "stage 3, 0.5 of the optimizer states on nvme, ...".
[[nodiscard]] std::string name_of(const planned_run& run, int ranks);

}  // namespace zero::cli
