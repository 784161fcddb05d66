#pragma once
// plan_report: what `zero plan` tells, as JSON (zero.plan/1) and as tables.
//
// Pure functions.

#include "plan/planned_run.hpp"
#include "plan/recommendation.hpp"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace zero::cli {

struct finished_plan {
  arguments command;
  const planner_options* options = nullptr;
  const planned_model* model = nullptr;
  const plan_ceilings* ceilings = nullptr;
  std::vector<planned_run> runs;
  std::optional<recommended_run> recommended;
};

[[nodiscard]] nlohmann::ordered_json plan_json(const finished_plan& plan);
[[nodiscard]] std::string plan_table(const finished_plan& plan);

}  // namespace zero::cli
