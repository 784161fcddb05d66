#pragma once
// Runs of the toy client on a device, real or made of a thread, against the same run on the host.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace zero::testing {

inline toy_run base_run(int stage, dtype type) {
  toy_run run;
  run.type = type;
  run.options.policy = partition::policy_of_stage(stage);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.clip_norm = 1.0;
  return run;
}

inline toy_result train_on_host(int world, const toy_run& run) {
  toy_result first;
  run_ranks(world, [&](collectives::communicator& ranks) {
    toy_result own = train_toy(ranks, run);
    if (ranks.rank() == 0) first = std::move(own);
  });
  return first;
}

// Bits, not closeness; and of memory what was predicted, none of it taken after the first step.
inline void expect_as_on_host(const toy_result& own, const toy_result& host) {
  EXPECT_EQ(to_hex(own.digest), to_hex(host.digest));
  EXPECT_EQ(own.norms, host.norms);
  EXPECT_EQ(own.skipped, host.skipped);
  EXPECT_EQ(own.memory.predicted, own.memory.measured);
  EXPECT_EQ(own.allocations_after_first_step, own.allocations_at_end);
}

}  // namespace zero::testing
