#pragma once
// Runs of the toy client by the odd rule beside the same over whole arrays.

#include "engine/own_rule_oracle.hpp"
#include "engine/tier_scratch.hpp"
#include "support/run_ranks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>

namespace zero::testing {

inline toy_run base_run(dtype type = dtype::fp32) {
  toy_run run;
  run.type = type;
  run.wide = 7;
  run.steps = 3;
  run.options.groups.resize(2);
  run.options.groups[1].learning_rate_factor = 0.5F;
  run.options.gradient_divisor = 3.0;
  run.options.loss_scale.initial = 8.0F;
  run.options.loss_scale.dynamic = false;
  run.options.disk_directory = tier_scratch();
  run.options.tiers.cell_elements = 2048;
  return run;
}

inline void rest_on(toy_run& run, partition::tier where, const std::string& policy) {
  run.options.policy = partition::policy_of_name(policy, 2);
  run.options.tiers.optimizer = where;
  run.options.tiers.parameters = policy == "3" ? where : partition::tier::device;
}

inline void expect_plain(const toy_result& got, const plain_result& right) {
  ASSERT_EQ(got.master.size(), right.master.size());
  for (std::size_t p = 0; p < got.master.size(); ++p) {
    ASSERT_EQ(got.master[p].size(), right.master[p].size()) << p;
    for (std::size_t e = 0; e < got.master[p].size(); ++e) {
      ASSERT_EQ(got.master[p][e], right.master[p][e]) << "parameter " << p << ", element " << e;
    }
  }
  ASSERT_EQ(got.norms.size(), right.norms.size());
  for (std::size_t i = 0; i < got.norms.size(); ++i) {
    if (std::isfinite(right.norms[i])) {
      EXPECT_NEAR(got.norms[i], right.norms[i], 1e-12 * right.norms[i]);
    } else {
      EXPECT_FALSE(std::isfinite(got.norms[i]));
    }
  }
}

inline void expect_run(int world, const toy_run& wanted, const plain_result& right) {
  const toy_run run = with_odd_rule(wanted);
  toy_result first;
  run_ranks(world, [&](collectives::communicator& ranks) {
    toy_result own = train_toy(ranks, run);
    EXPECT_EQ(own.memory.predicted, own.memory.measured);
    EXPECT_EQ(own.memory.predicted_peak, own.memory.measured_peak);
    EXPECT_EQ(own.allocations_after_first_step, own.allocations_at_end);
    if (ranks.rank() == 0) first = std::move(own);
  });
  expect_plain(first, right);
}

}  // namespace zero::testing
