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
  // Cells are so small, or so few are under way, that they wait for each other, which step leaves
  // out: measured on disks, an update may go in half the usual cells, what passes need may not.
  [[nodiscard]] bool waits_for_cells() const noexcept;
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

// `options` with what `zero train` would have rest where if --memory-budget alone said it, or
// nothing: then none fits, or there is no budget, or the model cannot be seen into.
[[nodiscard]] std::optional<train_options> chosen_tiers(const planner_options& o,
                                                        const planned_model& model,
                                                        const train_options& options);

// Every stage with every offload that are asked for, in that order.
[[nodiscard]] std::vector<planned_run> plan_runs(const planner_options& o,
                                                 const planned_model& model,
                                                 const plan_ceilings& ceilings);

}  // namespace zero::cli
