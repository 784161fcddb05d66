#pragma once
// plan_ceilings: what the machine of a plan can do, and who says so.
//
// Plain values.

#include "plan/ceilings_file.hpp"
#include "plan/planner_options.hpp"

#include <zero/partition/cost_model.hpp>

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace zero::cli {

struct plan_ceilings {
  partition::machine_ceilings machine;     // of a rank while all of its node do the same
  double operations = 0;                   // a second, of a rank's matrix products
  std::optional<machine_record> measured;  // whose passes stand for those of the same shapes
  std::string source;                      // who says so
};

// By the options, and where they say nothing as measured; with no measurement as assumed of a node
// of GPUs of the kind of an H200.
[[nodiscard]] plan_ceilings ceilings_of(const planner_options& o,
                                        const std::optional<machine_record>& measured);

// "ceilings" of the report.
[[nodiscard]] nlohmann::ordered_json describe(const plan_ceilings& ceilings);

}  // namespace zero::cli
