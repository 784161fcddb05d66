#pragma once
// Runs of the toy client with collectives in codes, and what holds of every one of them: ranks
// agree, memory and traffic are what was predicted.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {

inline constexpr dtype quantized_dtypes[] = {dtype::fp32, dtype::bf16, dtype::fp16};

inline toy_run base_run(int stage, dtype type = dtype::fp32) {
  toy_run run;
  run.type = type;
  run.options.policy = partition::policy_of_stage(stage);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.groups[1].learning_rate_factor = 0.5F;
  run.options.clip_norm = 1.0;
  return run;
}

inline toy_run reduced_in(int bits, int node_ranks, int stage, dtype type = dtype::fp32) {
  toy_run run = base_run(stage, type);
  run.options.quantized_reduce = bits;
  run.options.node_ranks = node_ranks;
  return run;
}

inline void expect_traffic_as_planned(const toy_result& result, const toy_run& run, int world) {
  const partition::communication_volume each =
      sharded_optimizer::predict_communication(toy_model(run.type), run.options, world).step();
  const auto steps = static_cast<std::uint64_t>(run.steps - 1);
  const collectives::traffic& first = result.traffic_after_first_step;
  const collectives::traffic& end = result.traffic_at_end;
  EXPECT_EQ(end.all_gather - first.all_gather, steps * each.all_gather);
  EXPECT_EQ(end.reduce_scatter - first.reduce_scatter, steps * each.reduce_scatter);
  EXPECT_EQ(end.all_to_all - first.all_to_all, steps * each.all_to_all);
  EXPECT_EQ(end.calls - first.calls, steps * each.calls);
  EXPECT_EQ(each.all_to_all > 0, world > 1 && run.options.quantized_reduce > 0);
  EXPECT_EQ(end.staged, first.staged);
}

// A gradient that is not finite comes back as NaN, and so is the norm.
inline bool same_numbers(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

inline toy_result train_and_check(int world, const toy_run& run) {
  std::vector<toy_result> results(static_cast<std::size_t>(world));
  run_ranks(world, [&](collectives::communicator& ranks) {
    results[static_cast<std::size_t>(ranks.rank())] = train_toy(ranks, run);
  });
  const auto predicted = sharded_optimizer::predict(toy_model(run.type), run.options, world);
  for (const toy_result& r : results) {
    EXPECT_EQ(r.digest, results[0].digest);
    EXPECT_TRUE(same_numbers(r.norms, results[0].norms));
    EXPECT_EQ(r.memory.predicted, r.memory.measured);
    EXPECT_EQ(r.memory.predicted, predicted.predicted);
    EXPECT_EQ(r.memory.predicted_peak, r.memory.measured_peak);
    EXPECT_EQ(r.allocations_after_first_step, r.allocations_at_end);
    if (!run.evaluate_between) expect_traffic_as_planned(r, run, world);
  }
  return std::move(results[0]);
}

inline void expect_same(const toy_result& a, const toy_result& b) {
  EXPECT_EQ(to_hex(a.digest), to_hex(b.digest));
  EXPECT_TRUE(same_numbers(a.norms, b.norms));
  EXPECT_EQ(a.skipped, b.skipped);
}

struct shape {
  int world;
  int node_ranks;
};
inline std::string text_of(const shape& s) {
  return std::to_string(s.world) + " ranks in nodes of " + std::to_string(s.node_ranks);
}

// Worlds, and how they are cut into nodes; 0: not at all.
inline constexpr shape quantized_shapes[] = {{1, 0}, {2, 0}, {2, 1}, {2, 2}, {3, 0},
                                             {4, 2}, {6, 2}, {6, 3}, {7, 1}};

}  // namespace zero::testing
