// Wherever state rests the bits are the same, and every byte is where the plan says.

#include "engine/tier_scratch.hpp"
#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using partition::tier;

toy_run base_run(const char* policy, dtype type = dtype::fp32) {
  toy_run run;
  run.type = type;
  run.wide = 7;
  run.steps = 3;
  run.options.policy = partition::policy_of_name(policy, 2);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.groups[1].learning_rate_factor = 0.5F;
  run.options.clip_norm = 1.0;
  run.options.disk_directory = tier_scratch();
  run.options.tiers.cell_elements = 2048;
  return run;
}

toy_result train(int world, const toy_run& run) {
  std::vector<toy_result> results(static_cast<std::size_t>(world));
  run_ranks(world, [&](collectives::communicator& ranks) {
    results[static_cast<std::size_t>(ranks.rank())] = train_toy(ranks, run);
  });
  for (const toy_result& r : results) {
    EXPECT_EQ(r.digest, results[0].digest);
    EXPECT_EQ(r.norms, results[0].norms);
    EXPECT_EQ(r.memory.predicted, r.memory.measured);
    EXPECT_EQ(r.memory.predicted_peak, r.memory.measured_peak);
    EXPECT_EQ(r.allocations_after_first_step, r.allocations_at_end);
  }
  return std::move(results[0]);
}

std::string describe(const partition::tiering& t) {
  return std::string("optimizer on ") + name_of(t.optimizer) + ", gradients " +
         (t.gradients ? name_of(*t.gradients) : "with it") + ", parameters on " +
         name_of(t.parameters) + ", ratio " + std::to_string(t.optimizer_ratio);
}

constexpr tier every_tier[] = {tier::device, tier::host, tier::disk};

// All that `policy` allows, but for everything on the device.
std::vector<partition::tiering> tierings(const std::string& policy) {
  std::vector<partition::tiering> all;
  const bool gradients = policy == "2" || policy == "3" || policy == "hpz" || policy == "hybrid1";
  const bool parameters = policy == "3" || policy == "hpz" || policy == "hybrid";
  for (const tier o : every_tier) {
    for (const tier p : every_tier) {
      if (p != tier::device && !parameters) continue;
      std::vector<std::optional<tier>> choices{std::nullopt};
      if (gradients) choices.insert(choices.end(), std::begin(every_tier), std::end(every_tier));
      for (const auto& g : choices) {
        partition::tiering t;
        t.optimizer = o;
        t.gradients = g;
        t.parameters = p;
        if (t.any()) all.push_back(t);
      }
    }
  }
  return all;
}

// `first` is run with everything on the device.
void expect_same_everywhere(const std::string& policy, int world, const toy_run& first) {
  const toy_result right = train(world, first);
  for (const partition::tiering& chosen : tierings(policy)) {
    toy_run run = first;
    const std::uint64_t cell = run.options.tiers.cell_elements;
    run.options.tiers = chosen;
    run.options.tiers.cell_elements = cell;
    const toy_result got = train(world, run);
    EXPECT_EQ(to_hex(got.digest), to_hex(right.digest)) << policy << ": " << describe(chosen);
    EXPECT_EQ(got.norms, right.norms) << policy << ": " << describe(chosen);
    EXPECT_EQ(got.skipped, right.skipped) << policy << ": " << describe(chosen);
  }
}

class tiers : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(worlds, tiers, ::testing::Values(1, 2, 3));

TEST_P(tiers, stages_in_fp32) {
  for (const char* policy : {"0", "1", "2", "3"}) {
    expect_same_everywhere(policy, GetParam(), base_run(policy));
  }
}

TEST_P(tiers, stages_in_bf16_with_wide_and_narrow_gradients) {
  for (const gradient_storage kept : {gradient_storage::fp32, gradient_storage::same}) {
    for (const char* policy : {"0", "2", "3"}) {
      toy_run run = base_run(policy, dtype::bf16);
      run.options.gradients = kept;
      expect_same_everywhere(policy, GetParam(), run);
    }
  }
}

TEST_P(tiers, accumulation_with_either_policy) {
  for (const char* policy : {"0", "3"}) {
    for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
      for (const dtype type : {dtype::fp32, dtype::bf16}) {
        toy_run run = base_run(policy, type);
        run.options.gradients =
            type == dtype::bf16 ? gradient_storage::same : gradient_storage::fp32;
        run.micro_batches = run.options.accumulate = 3;
        run.options.reduction = when;
        expect_same_everywhere(policy, GetParam(), run);
      }
    }
  }
}

TEST(tiers_of_groups, change_no_bits) {
  for (const int world : {2, 4}) {
    for (const char* policy : {"hybrid", "hybrid1", "hpz"}) {
      expect_same_everywhere(policy, world, base_run(policy));
    }
  }
}

TEST_P(tiers, shares_of_the_optimizer) {
  for (const char* policy : {"0", "1", "3"}) {
    const toy_result right = train(GetParam(), base_run(policy));
    for (const double ratio : {0.0, 0.3, 0.7}) {
      for (const tier t : {tier::host, tier::disk}) {
        toy_run run = base_run(policy);
        run.options.tiers.optimizer = t;
        run.options.tiers.optimizer_ratio = ratio;
        if (std::string(policy) == "3") run.options.tiers.parameters = t;
        EXPECT_EQ(to_hex(train(GetParam(), run).digest), to_hex(right.digest))
            << policy << ": " << describe(run.options.tiers);
      }
    }
  }
}

TEST_P(tiers, prefetch_addressing_depth_and_evaluation) {
  const toy_result right = train(GetParam(), base_run("3"));
  for (const int prefetch : {0, 2, 9}) {
    for (const addressing how : {addressing::slots, addressing::stable}) {
      for (const int depth : {2, 5}) {
        toy_run run = base_run("3");
        run.options.tiers.optimizer = run.options.tiers.parameters = tier::disk;
        run.options.tiers.depth = depth;
        run.options.tiers.bounces = depth;
        run.options.prefetch = prefetch;
        run.options.addressing = how;
        run.evaluate_between = true;
        EXPECT_EQ(to_hex(train(GetParam(), run).digest), to_hex(right.digest));
      }
    }
  }
}

TEST_P(tiers, codes) {
  for (const int accumulate : {1, 2}) {
    toy_run run = base_run("3", dtype::bf16);
    run.options.quantized_gather = 8;
    run.options.quantized_reduce = 8;
    run.micro_batches = run.options.accumulate = accumulate;
    if (GetParam() == 1) run.options.quantized_gather = run.options.quantized_reduce = 0;
    expect_same_everywhere("3", GetParam(), run);
  }
}

// Without a norm or a verdict to wait for, what is offloaded is updated during the backward.
TEST_P(tiers, updates_before_the_step) {
  for (const char* policy : {"1", "3"}) {
    for (const int accumulate : {1, 2}) {
      toy_run run = base_run(policy, accumulate == 1 ? dtype::fp32 : dtype::bf16);
      run.options.clip_norm = 0.0;
      run.options.non_finite = non_finite::apply;
      run.micro_batches = run.options.accumulate = accumulate;
      run.announces = true;
      expect_same_everywhere(policy, GetParam(), run);
    }
  }
}

TEST(early_updates, are_made_where_nothing_has_to_be_known_first) {
  for (const bool clips : {false, true}) {
    toy_run run = base_run("3");
    run.options.clip_norm = clips ? 1.0 : 0.0;
    run.options.non_finite = non_finite::apply;
    run.announces = true;
    run.options.tiers.optimizer = tier::host;
    const std::uint64_t early = train(1, run).schedule.early;
    if (clips) {
      EXPECT_EQ(early, 0U);
    } else {
      EXPECT_GT(early, 0U);
    }
    run.options.non_finite = non_finite::skip;
    EXPECT_EQ(train(1, run).schedule.early, 0U);
  }
}

TEST(early_updates, keep_clients_from_seeing_half_a_step) {
  run_ranks(1, [](collectives::communicator& ranks) {
    toy_run run = base_run("3");
    run.options.clip_norm = 0.0;
    run.options.non_finite = non_finite::apply;
    run.options.tiers.optimizer = tier::host;
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), run.options);
    optimizer.initialize([](std::size_t, std::uint64_t, span<float> values) {
      for (float& value : values) value = 1.0F;
    });
    EXPECT_THROW(optimizer.announce_step(NAN), invalid_argument);
    optimizer.announce_step(0.1F);
    optimizer.begin_micro_batch();
    { const gathered_unit first = optimizer.gather(3); }
    static_cast<void>(optimizer.gradients(3).gradient(0));
    optimizer.reduce(3);
    EXPECT_THROW(static_cast<void>(optimizer.gather(3)), invalid_argument);
    EXPECT_THROW(static_cast<void>(optimizer.full_parameters()), invalid_argument);
    EXPECT_THROW(static_cast<void>(optimizer.parameters_digest()), invalid_argument);
    EXPECT_THROW(optimizer.announce_step(0.2F), invalid_argument);
    EXPECT_THROW(optimizer.step(0.2F), invalid_argument);
    EXPECT_EQ(optimizer.step(0.1F).step, 1U);
    EXPECT_NO_THROW(static_cast<void>(optimizer.gather(3)));
  });
}

// Also where nothing is updated early, so that clients that are wrong are told on every tier.
TEST(early_updates, keep_a_step_to_the_announced_rate) {
  run_ranks(1, [](collectives::communicator& ranks) {
    const toy_run run = base_run("1");
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), run.options);
    optimizer.initialize([](std::size_t, std::uint64_t, span<float> values) {
      for (float& value : values) value = 1.0F;
    });
    optimizer.announce_step(0.1F);
    EXPECT_THROW(optimizer.step(0.2F), invalid_argument);
    EXPECT_EQ(optimizer.step(0.1F).step, 1U);
    EXPECT_EQ(optimizer.step(0.2F).step, 2U);  // nothing was announced
  });
}

// What ranks did differently cannot be taken back.
TEST(early_updates, of_ranks_that_differ_are_the_end) {
  run_ranks(2, [](collectives::communicator& ranks) {
    toy_run run = base_run("3");
    run.options.clip_norm = 0.0;
    run.options.non_finite = non_finite::apply;
    run.options.tiers.optimizer = tier::host;
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), run.options);
    optimizer.initialize([](std::size_t, std::uint64_t, span<float> values) {
      for (float& value : values) value = 1.0F;
    });
    const float rate = ranks.rank() == 0 ? 0.1F : 0.2F;
    optimizer.announce_step(rate);
    optimizer.begin_micro_batch();
    static_cast<void>(optimizer.gradients(3).gradient(0));
    optimizer.reduce(3);
    EXPECT_THROW(optimizer.step(rate), desync);
    EXPECT_THROW(optimizer.step(rate), desync);
    EXPECT_THROW(optimizer.begin_micro_batch(), desync);
  });
}

TEST_P(tiers, a_step_that_is_not_finite_changes_nothing) {
  toy_run run = base_run("3");
  run.bad_step = 1;
  expect_same_everywhere("3", GetParam(), run);
}

}  // namespace
}  // namespace zero::testing
