// Optimizer states and master weights in fewer bits: whatever is sharded and wherever it rests, the
// same bits; and weights that are exact where they are said to be.

#include "engine/tier_scratch.hpp"
#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using optim::master_format;
using optim::state_format;
using partition::tier;

toy_run base_run(const char* policy, dtype type, optim::optimizer_formats formats) {
  toy_run run;
  run.type = type;
  run.wide = 7;
  run.steps = 3;
  run.options.policy = partition::policy_of_name(policy, 2);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.groups[1].learning_rate_factor = 0.5F;
  run.options.clip_norm = 1.0;
  run.options.formats = formats;
  run.options.disk_directory = tier_scratch();
  run.options.tiers.cell_elements = 2048;
  return run;
}

toy_result train(int world, const toy_run& run) {
  toy_result first;
  run_ranks(world, [&](collectives::communicator& ranks) {
    toy_result own = train_toy(ranks, run);
    EXPECT_EQ(own.memory.predicted, own.memory.measured);
    EXPECT_EQ(own.allocations_after_first_step, own.allocations_at_end);
    if (ranks.rank() == 0) first = std::move(own);
  });
  return first;
}

struct chosen {
  dtype type;
  optim::optimizer_formats formats;
};

std::vector<chosen> every_choice() {
  std::vector<chosen> all;
  for (const state_format states : {state_format::fp32, state_format::bf16, state_format::block8}) {
    all.push_back({dtype::fp32, {states, master_format::fp32}});
    all.push_back({dtype::fp16, {states, master_format::none}});
    for (const master_format master :
         {master_format::fp32, master_format::remainder, master_format::none}) {
      all.push_back({dtype::bf16, {states, master}});
    }
  }
  return all;
}

class formats : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(worlds, formats, ::testing::Values(1, 2, 3));

TEST_P(formats, have_one_result_at_every_stage_and_on_every_tier) {
  for (const chosen& c : every_choice()) {
    SCOPED_TRACE(std::string(name_of(c.type)) + ", states " + name_of(c.formats.states) +
                 ", master " + name_of(c.formats.master));
    const toy_result right = train(GetParam(), base_run("0", c.type, c.formats));
    for (const char* policy : {"0", "1", "2", "3"}) {
      for (const tier rests : {tier::device, tier::host, tier::disk}) {
        for (const double ratio : {0.5, 1.0}) {
          toy_run run = base_run(policy, c.type, c.formats);
          run.options.tiers.optimizer = rests;
          run.options.tiers.optimizer_ratio = ratio;
          if (std::string(policy) == "3") run.options.tiers.parameters = rests;
          EXPECT_EQ(to_hex(train(GetParam(), run).digest), to_hex(right.digest))
              << policy << " on " << name_of(rests) << ", " << ratio;
        }
      }
    }
  }
}

// Elements are keyed by their place in the model, so another cut rounds them alike.
TEST(formats_of_states, round_alike_at_every_world_size) {
  for (const master_format master : {master_format::remainder, master_format::none}) {
    toy_run run = base_run("3", dtype::bf16, {state_format::fp32, master});
    run.options.algorithm = optim::algorithm::sgd;
    run.steps = 1;
    run.learning_rate = 0.0F;  // sums differ with the world; weights must not
    const toy_result alone = train(1, run);
    for (const int world : {2, 3, 7}) {
      EXPECT_EQ(to_hex(train(world, run).digest), to_hex(alone.digest)) << world;
    }
  }
}

// A remainder loses nothing, but for which of two parameters as near stands for a weight.
TEST(formats_of_states, a_remainder_is_as_good_as_an_fp32_master) {
  toy_run run = base_run("2", dtype::bf16, {state_format::fp32, master_format::fp32});
  run.learning_rate = 0.001F;
  const toy_result master = train(2, run);
  run.options.formats.master = master_format::remainder;
  const toy_result remainder = train(2, run);
  for (std::size_t p = 0; p < master.master.size(); ++p) {
    ASSERT_EQ(master.master[p].size(), remainder.master[p].size());
    for (std::size_t i = 0; i < master.master[p].size(); ++i) {
      ASSERT_NEAR(remainder.master[p][i], master.master[p][i], 2e-5) << p << " " << i;
    }
  }
}

TEST(formats_of_states, need_bytes_as_their_names_say) {
  const auto optimizer = [](optim::optimizer_formats f) {
    const toy_run run = base_run("0", dtype::bf16, f);
    const memory_report report =
        sharded_optimizer::predict(toy_model(dtype::bf16, 7), run.options, 1);
    return static_cast<double>(
               report.predicted[static_cast<std::size_t>(memory_account::optimizer)]) /
           (7 * 5 + 13 + 1009 * 7 + 31 + 1 + 1200);
  };
  EXPECT_DOUBLE_EQ(optimizer({state_format::fp32, master_format::fp32}), 12.0);
  EXPECT_NEAR(optimizer({state_format::bf16, master_format::fp32}), 8.0, 0.01);
  EXPECT_NEAR(optimizer({state_format::bf16, master_format::remainder}), 6.0, 0.01);
  EXPECT_NEAR(optimizer({state_format::block8, master_format::none}), 2.0625, 0.05);
}

TEST(formats_of_states, remainders_of_fp16_are_refused) {
  run_ranks(2, [&](collectives::communicator& ranks) {
    const toy_run run = base_run("1", dtype::fp16, {state_format::fp32, master_format::remainder});
    EXPECT_THROW(sharded_optimizer(ranks, toy_model(dtype::fp16), run.options), invalid_argument);
  });
}

}  // namespace
}  // namespace zero::testing
