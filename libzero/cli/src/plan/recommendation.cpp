#include "plan/recommendation.hpp"

#include "train/config_file.hpp"
#include "train/sharding_choice.hpp"
#include "train/tier_choice.hpp"

#include <zero/base/bytes.hpp>
#include <zero/partition/sharding_policy.hpp>
#include <zero/partition/tiering.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace zero::cli {
namespace {

// Estimates no further apart are one.
constexpr double as_fast = 1.01;
// What waits for its cells took 1.2 to 1.9 times its estimate, as measured with budgets of 60 to 98
// MiB.
constexpr double waiting_share = 1.25;

partition::sharding_policy policy_of(const planner_options& o, const std::string& stage) {
  return partition::resolved(
      partition::policy_of_name(stage, o.run.training.shard_group.value_or(o.ranks)), o.ranks);
}

// Whether a share of the states goes down cell by cell, of cells that are soon told.
bool has_shares(const planner_options& o, const planned_model& model, const std::string& stage) {
  constexpr std::uint64_t most_cells = 1 << 16;
  const partition::sharding_policy policy = policy_of(o, stage);
  const bool sharded = policy.optimizer == partition::sharded_over::world;
  const auto ranks = static_cast<std::uint64_t>(sharded ? o.ranks : 1);
  return model.parameters / ranks / partition::tiering{}.cell_elements <= most_cells;
}

// Inside a budget what was asked apart may come to the same.
bool is_same(const train_options& a, const train_options& b) {
  return a.stage == b.stage && a.training.prefetch == b.training.prefetch &&
         a.training.accumulate == b.training.accumulate &&
         a.offload_optimizer == b.offload_optimizer && a.offload_ratio == b.offload_ratio &&
         a.offload_gradients == b.offload_gradients && a.offload_parameters == b.offload_parameters;
}

// All that this stage can offload or the optimizer states alone, whole or shares of them, and what
// a budget by itself would have.
void add_tiers(const planner_options& o, const planned_model& model, offload_tier offload,
               const train_options& stage, std::vector<train_options>& result) {
  const auto add = [&](train_options way, double ratio) {
    const bool moves = way.offload_optimizer.value_or(offload_tier::none) != offload_tier::none;
    way.offload_ratio.reset();
    if (moves) way.offload_ratio = ratio;
    way.offload_parameters = way.offload_parameters.value_or(offload_tier::none);
    way.offload_optimizer = way.offload_optimizer.value_or(offload_tier::none);
    settle_gradients(way, o.ranks);
    result.push_back(std::move(way));
  };
  train_options all = stage;
  offload_all(all, offload, o.ranks);
  add(all, 1);
  if (offload == offload_tier::none) return;
  train_options optimizer = all;
  optimizer.offload_parameters = stage.offload_parameters;
  const bool apart = optimizer.offload_parameters != all.offload_parameters;
  if (apart) add(optimizer, 1);
  if (has_shares(o, model, stage.stage)) {
    for (const double ratio : {0.75, 0.5, 0.25}) {
      add(all, ratio);
      if (apart) add(optimizer, ratio);
    }
  }
  if (offload != offload_tier::nvme) return;
  if (auto chosen = chosen_tiers(o, model, stage)) result.push_back(*std::move(chosen));
}

std::vector<train_options> ways(const planner_options& o, const planned_model& model,
                                int accumulate) {
  std::vector<train_options> result;
  for (const std::string& stage : o.stages) {
    if (!has_config(stage)) continue;
    const bool gathers =
        policy_of(o, stage).parameters != partition::sharded_over::nobody && !model.opaque;
    for (const offload_tier offload : o.offloads) {
      train_options way = o.run;
      way.stage = stage;
      way.training.accumulate = accumulate;
      std::vector<int> ahead{o.run.training.prefetch};
      for (const int units : {0, 1, 2}) {
        if (units != ahead.front() && gathers) ahead.push_back(units);
      }
      for (const int units : ahead) {
        way.training.prefetch = units;
        add_tiers(o, model, offload, way, result);
      }
    }
  }
  return result;
}

double likely_seconds(const planned_run& run) {
  return run.step.estimate * (run.waits_for_cells() ? waiting_share : 1);
}

// Holds less, then reads less: what to take of two that are as fast.
bool is_leaner(const planned_run& a, const planned_run& b) {
  if (a.offload != b.offload) return a.offload < b.offload;
  return a.peak < b.peak;
}

std::string in_seconds(double seconds) { return fmt::format("{:.3g} s", seconds); }

std::string reason_of(const planned_run& best, const std::vector<planned_run>& runs,
                      std::size_t fitting, int ranks) {
  std::string text =
      fmt::format("the fastest of {} ways that fit, of {}: {} a step, bound by {}", fitting,
                  runs.size(), in_seconds(best.step.estimate), name_of(best.step.bound_by));
  if (best.waits_for_cells()) {
    text += ", and longer by up to its double since its cells are small and wait for each other";
  }
  const planned_run* faster = nullptr;
  for (const planned_run& run : runs) {
    if (run.fits() || run.step.estimate * as_fast >= best.step.estimate) continue;
    if (faster == nullptr || run.step.estimate < faster->step.estimate) faster = &run;
  }
  if (faster == nullptr) return text + "; none that does not fit would be faster";
  const shortage& most = faster->shortages.front();
  return text + fmt::format("; {} would take {}, but {} of {}, of which there are {}",
                            name_of(*faster, ranks), in_seconds(faster->step.estimate),
                            format_bytes(most.asked), most.of, format_bytes(most.available));
}

}  // namespace

std::string name_of(const planned_run& run, int ranks) {
  nlohmann::ordered_json tiers;
  report_tiers(tiers, run.options, ranks);
  std::string text = describe_policy(run.options.stage);
  const auto place = [&](const char* key) { return tiers.at(key).get<std::string>(); };
  if (place("offload_optimizer") != "none") {
    const double ratio = tiers.at("offload_ratio").get<double>();
    text +=
        fmt::format(", {}optimizer states on {}", ratio < 1 ? fmt::format("{} of the ", ratio) : "",
                    place("offload_optimizer"));
  }
  if (place("offload_gradients") != "none") text += ", gradients on " + place("offload_gradients");
  if (place("offload_parameters") != "none") {
    text += ", parameters on " + place("offload_parameters");
  }
  return text + fmt::format(", {} ahead, {} micro-batch{}", run.options.training.prefetch,
                            run.options.training.accumulate,
                            run.options.training.accumulate == 1 ? "" : "es");
}

std::optional<recommended_run> recommend(const planner_options& o, const planned_model& model,
                                         const plan_ceilings& ceilings) {
  const int most = std::max(batch_of_rank(o, model).sequences, 1) * o.run.training.accumulate;
  std::vector<planned_run> runs;
  std::size_t fitting = 0;
  for (int accumulate = o.run.training.accumulate; fitting == 0 && accumulate <= most;
       accumulate *= 2) {
    for (const train_options& way : ways(o, model, accumulate)) {
      planned_run run = plan_fitted(o, model, ceilings, way);
      const bool known = std::any_of(runs.begin(), runs.end(), [&](const planned_run& other) {
        return is_same(run.options, other.options);
      });
      if (known) continue;
      fitting += run.fits() ? 1 : 0;
      runs.push_back(std::move(run));
    }
  }
  const planned_run* best = nullptr;
  double fastest = 0;
  for (const planned_run& run : runs) {
    if (!run.fits()) continue;
    if (best == nullptr || likely_seconds(run) < fastest) {
      fastest = likely_seconds(run);
      best = &run;
    }
  }
  if (best == nullptr) return std::nullopt;
  for (const planned_run& run : runs) {
    const bool fast = run.fits() && likely_seconds(run) <= fastest * as_fast;
    if (fast && is_leaner(run, *best)) best = &run;
  }
  recommended_run found{*best, reason_of(*best, runs, fitting, o.ranks), {}};
  found.looked_at = std::move(runs);
  return found;
}

nlohmann::ordered_json describe(const recommended_run& found, int ranks) {
  const planned_run& run = found.run;
  const common_options& training = run.options.training;
  nlohmann::ordered_json result{{"policy", run.options.stage}};
  report_tiers(result, run.options, ranks);
  result["prefetch"] = training.prefetch;
  result["accumulate"] = training.accumulate;
  const std::int64_t each = std::int64_t{ranks} * training.accumulate;
  result["micro_batch"] = (training.batch + each - 1) / each;
  result["step_seconds"] = {{"lower_bound", run.step.lower_bound},
                            {"estimate", run.step.estimate},
                            {"bound_by", name_of(run.step.bound_by)}};
  result["peak"] = run.peak;
  result["waits_for_cells"] = run.waits_for_cells();
  result["reason"] = found.reason;
  result["ways"] = nlohmann::ordered_json::array();
  for (const planned_run& way : found.looked_at) {
    nlohmann::ordered_json line{{"policy", way.options.stage}};
    report_tiers(line, way.options, ranks);
    line["prefetch"] = way.options.training.prefetch;
    line["accumulate"] = way.options.training.accumulate;
    line["estimate"] = way.step.estimate;
    line["fits"] = way.fits();
    line["waits_for_cells"] = way.waits_for_cells();
    result["ways"].push_back(std::move(line));
  }
  result["config"] = config_json(run.options, ranks);
  return result;
}

}  // namespace zero::cli
