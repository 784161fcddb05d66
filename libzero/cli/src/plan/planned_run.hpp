#pragma once
// planned_run: one way to train a model, and what it would hold, say, move and take.
//
// Plain values; made without allocating anything of the model's size.

#include "plan/plan_ceilings.hpp"
#include "plan/planned_model.hpp"
#include "plan/planner_options.hpp"

#include <zero/base/memory_statistics.hpp>
#include <zero/partition/communication_plan.hpp>
#include <zero/partition/cost_model.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zero::cli {

// What is asked of a resource that has not so much.
struct shortage {
  std::string of;  // the option that says what there is
  std::uint64_t asked = 0;
  std::uint64_t available = 0;
};

struct planned_run {
  train_options options;  // stage and tiers among them
  offload_tier offload = offload_tier::none;

  // ---- of a rank, which all are alike ----
  memory_by_account memory{};
  std::uint64_t peak = 0;
  // Of state at rest on any tier, padding left out: of host memory, that of records alone.
  std::uint64_t state = 0;
  std::uint64_t host_state = 0;
  std::optional<std::uint64_t> activations;  // bytes; nothing: not known
  partition::communication_volume communication;
  double elements_sent = 0;  // parameters and gradients, to other ranks
  partition::tier_bytes moved;

  partition::step_estimate step;
  std::uint64_t tokens = 0;  // of a step, all ranks
  std::vector<shortage> shortages;

  [[nodiscard]] bool fits() const noexcept { return shortages.empty(); }
};

// Sequences that the rank and micro-batch with most of them computes, and tokens of each.
[[nodiscard]] measured_batch batch_of_rank(const planner_options& o, const planned_model& model);

// `options` are o.run with a stage and tiers. Throws invalid_argument for what the engine refuses.
[[nodiscard]] planned_run plan_run(const planner_options& o, const planned_model& model,
                                   const plan_ceilings& ceilings, const train_options& options);

// The same; where that does not hold inside --memory-budget, with smaller and fewer cells under
// way, as `zero train` would then have it, if that does.
[[nodiscard]] planned_run plan_fitted(const planner_options& o, const planned_model& model,
                                      const plan_ceilings& ceilings, const train_options& options);

// Every stage with every offload that are asked for, in that order.
[[nodiscard]] std::vector<planned_run> plan_runs(const planner_options& o,
                                                 const planned_model& model,
                                                 const plan_ceilings& ceilings);

}  // namespace zero::cli
