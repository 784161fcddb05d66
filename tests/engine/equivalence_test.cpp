// The promise: on one world size every policy, prefetch depth and addressing ends with the same
// bits, and those bits are what a dense computation in double says they should be.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

toy_run base_run(int stage, dtype type = dtype::fp32) {
  toy_run run;
  run.type = type;
  run.options.policy = partition::policy_of_stage(stage);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.groups[1].learning_rate_factor = 0.5F;
  run.options.clip_norm = 1.0;
  return run;
}

// Adam turns a gradient that rounding made tiny into a step of full size, so in 16 bits only SGD
// can be held against a computation in double.
toy_run sgd_run(int stage, dtype type) {
  toy_run run = base_run(stage, type);
  run.options.algorithm = optim::algorithm::sgd;
  run.learning_rate = 0.01F;
  return run;
}

std::vector<toy_result> train(int world, const toy_run& run) {
  std::vector<toy_result> results(static_cast<std::size_t>(world));
  run_ranks(world, [&](collectives::communicator& ranks) {
    results[static_cast<std::size_t>(ranks.rank())] = train_toy(ranks, run);
  });
  return results;
}

// Ranks agree among themselves; what rank 0 has is compared with others by the caller.
toy_result train_and_check(int world, const toy_run& run) {
  std::vector<toy_result> results = train(world, run);
  for (const toy_result& r : results) {
    EXPECT_EQ(r.digest, results[0].digest);
    EXPECT_EQ(r.norms, results[0].norms);
    EXPECT_EQ(r.memory.predicted, r.memory.measured);
    EXPECT_EQ(r.memory.predicted_peak, r.memory.measured_peak);
    EXPECT_EQ(r.allocations_after_first_step, r.allocations_at_end);
  }
  return std::move(results[0]);
}

void expect_near_dense(const toy_result& got, const toy_run& run, int world, double tolerance) {
  const dense_result dense = train_dense(run, world);
  for (std::size_t step = 0; step < dense.norms.size(); ++step) {
    EXPECT_NEAR(got.norms[step], dense.norms[step], tolerance * dense.norms[step]) << step;
  }
  for (std::size_t p = 0; p < dense.master.size(); ++p) {
    ASSERT_EQ(got.master[p].size(), dense.master[p].size()) << p;
    for (std::size_t i = 0; i < dense.master[p].size(); ++i) {
      ASSERT_NEAR(got.master[p][i], dense.master[p][i], tolerance) << p << " " << i;
    }
  }
}

class worlds : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(equivalence, worlds, ::testing::Values(1, 2, 3, 4, 7));

TEST_P(worlds, stages_agree_with_each_other_and_with_the_dense_reference_in_fp32) {
  const toy_result first = train_and_check(GetParam(), base_run(0));
  expect_near_dense(first, base_run(0), GetParam(), 2e-5);
  for (int stage = 1; stage <= 3; ++stage) {
    const toy_result other = train_and_check(GetParam(), base_run(stage));
    EXPECT_EQ(to_hex(other.digest), to_hex(first.digest)) << "stage " << stage;
    EXPECT_EQ(other.norms, first.norms) << "stage " << stage;
  }
}

TEST_P(worlds, stages_agree_in_16_bits_with_wide_and_narrow_gradient_shards) {
  for (const dtype type : {dtype::bf16, dtype::fp16}) {
    for (const gradient_storage kept : {gradient_storage::fp32, gradient_storage::same}) {
      for (toy_run run : {base_run(0, type), sgd_run(0, type)}) {
        run.options.gradients = kept;
        if (type == dtype::fp16) {
          run.options.loss_scale = {64.0F, true, 2.0F, 0.5F, 2, 1, 1.0F, 1024.0F};
        }
        const toy_result first = train_and_check(GetParam(), run);
        if (run.options.algorithm == optim::algorithm::sgd) {
          expect_near_dense(first, run, GetParam(), type == dtype::fp16 ? 1e-3 : 5e-3);
        }
        for (int stage = 1; stage <= 3; ++stage) {
          run.options.policy = partition::policy_of_stage(stage);
          const toy_result other = train_and_check(GetParam(), run);
          EXPECT_EQ(to_hex(other.digest), to_hex(first.digest))
              << name_of(type) << " stage " << stage;
        }
      }
    }
  }
}

TEST_P(worlds, stages_agree_under_accumulation_with_either_policy) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
      for (toy_run run : {base_run(0, type), sgd_run(0, type)}) {
        run.micro_batches = run.options.accumulate = 3;
        run.options.reduction = when;
        const toy_result first = train_and_check(GetParam(), run);
        if (run.options.algorithm == optim::algorithm::sgd) {
          expect_near_dense(first, run, GetParam(), type == dtype::fp32 ? 2e-5 : 5e-3);
        }
        for (int stage = 1; stage <= 3; ++stage) {
          run.options.policy = partition::policy_of_stage(stage);
          const toy_result other = train_and_check(GetParam(), run);
          EXPECT_EQ(to_hex(other.digest), to_hex(first.digest))
              << name_of(type) << " stage " << stage;
        }
      }
    }
  }
}

TEST_P(worlds, every_algorithm_agrees_with_the_dense_reference) {
  for (const auto algorithm : {optim::algorithm::adam, optim::algorithm::sgd,
                               optim::algorithm::lion, optim::algorithm::adagrad}) {
    toy_run run = base_run(0);
    run.options.algorithm = algorithm;
    run.learning_rate = 0.01F;
    run.options.groups[0].constants = optim::default_hyper(algorithm);
    run.options.groups[0].constants.weight_decay = 0.05F;
    run.options.groups[1].constants = optim::default_hyper(algorithm);
    run.options.groups[1].constants.nesterov = true;
    const toy_result first = train_and_check(GetParam(), run);
    expect_near_dense(first, run, GetParam(), 2e-5);
    for (int stage = 1; stage <= 3; ++stage) {
      run.options.policy = partition::policy_of_stage(stage);
      EXPECT_EQ(to_hex(train_and_check(GetParam(), run).digest), to_hex(first.digest))
          << optim::name_of(algorithm) << " stage " << stage;
    }
  }
}

TEST_P(worlds, prefetch_addressing_and_evaluation_do_not_change_bits) {
  const toy_result first = train_and_check(GetParam(), base_run(3));
  for (const int prefetch : {0, 1, 2, 9}) {
    for (const addressing how : {addressing::slots, addressing::stable}) {
      for (const bool evaluate : {false, true}) {
        toy_run run = base_run(3);
        run.options.prefetch = prefetch;
        run.options.addressing = how;
        run.evaluate_between = evaluate;
        const toy_result other = train_and_check(GetParam(), run);
        EXPECT_EQ(to_hex(other.digest), to_hex(first.digest)) << prefetch;
        EXPECT_EQ(other.schedule.on_demand, 0U);
      }
    }
  }
}

TEST_P(worlds, whole_parameter_layout_and_residency_keep_stages_equal) {
  for (const bool whole : {false, true}) {
    toy_run run = base_run(0);
    run.options.layout = whole ? partition::layout_kind::whole : partition::layout_kind::flat;
    run.options.resident_bytes = 256;
    const toy_result first = train_and_check(GetParam(), run);
    expect_near_dense(first, run, GetParam(), 2e-5);
    for (int stage = 1; stage <= 3; ++stage) {
      run.options.policy = partition::policy_of_stage(stage);
      EXPECT_EQ(to_hex(train_and_check(GetParam(), run).digest), to_hex(first.digest)) << stage;
    }
  }
}

TEST_P(worlds, a_step_that_is_not_finite_changes_no_state_on_any_rank) {
  for (int stage = 0; stage <= 3; ++stage) {
    toy_run run = base_run(stage);
    run.bad_step = 1;
    const toy_result got = train_and_check(GetParam(), run);
    EXPECT_EQ(got.skipped, (std::vector<bool>{false, true, false, false}));
    toy_run without = base_run(stage);
    without.bad_step = 1;
    const dense_result dense = train_dense(without, GetParam());
    for (std::size_t p = 0; p < dense.master.size(); ++p) {
      for (std::size_t i = 0; i < dense.master[p].size(); ++i) {
        ASSERT_NEAR(got.master[p][i], dense.master[p][i], 2e-5);
      }
    }
  }
}

TEST(world_of_one, issues_no_collective) {
  for (int stage = 0; stage <= 3; ++stage) {
    EXPECT_EQ(train_and_check(1, base_run(stage)).traffic.calls, 0U) << stage;
  }
}

// A broken run must not pass the tests above: the digest has to notice one wrong gradient.
TEST(digest, notices_one_changed_element) {
  toy_run run = base_run(2);
  const toy_result right = train_and_check(2, run);
  run.learning_rate = std::nextafter(run.learning_rate, 1.0F);
  EXPECT_NE(to_hex(train_and_check(2, run).digest), to_hex(right.digest));
}

}  // namespace
}  // namespace zero::testing
