// A trainer with flat buffers ends with the same bits at every stage, and where double precision
// says it should.

#include "flat_trainer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace zero::testing {
namespace {

void expect_near(const flat_result& got, const dense_result& dense) {
  double square = 0;
  double off = 0;
  for (std::size_t i = 0; i < dense.parameters.size(); ++i) {
    const double d = static_cast<double>(got.parameters[i]) - dense.parameters[i];
    off += d * d;
    square += dense.parameters[i] * dense.parameters[i];
  }
  EXPECT_LT(std::sqrt(off / square), 2e-6);
  for (std::size_t i = 0; i < dense.losses.size(); ++i) {
    EXPECT_NEAR(got.losses[i], dense.losses[i], 1e-5 * (1 + dense.losses[i]));
    EXPECT_NEAR(got.norms[i], dense.norms[i], 1e-5 * dense.norms[i]);
  }
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// At every stage the same as at stage 0, and on every rank; stage 0 as it should be.
void expect_stages_agree(flat_run run, int ranks) {
  run.stage = 0;
  const dense_result dense = train_dense(run, ranks);
  const std::vector<flat_result> first = train_everywhere(ranks, run);
  expect_near(first[0], dense);
  for (int stage = 0; stage <= 3; ++stage) {
    for (const bool every_call : {true, false}) {
      run.stage = stage;
      run.every_call = every_call;
      const std::vector<flat_result> results = train_everywhere(ranks, run);
      for (const flat_result& result : results) {
        EXPECT_TRUE(same_bits(result.parameters, first[0].parameters))
            << "stage " << stage << ", " << ranks << " ranks, every call " << every_call;
        EXPECT_EQ(result.losses, first[0].losses);
        EXPECT_EQ(result.norms, first[0].norms);
        EXPECT_TRUE(result.gradients_zero);
      }
    }
  }
}

class client_training : public ::testing::TestWithParam<int> {};

TEST_P(client_training, adamw_agrees_at_every_stage) {
  flat_run run;
  run.clip_norm = 1.0;
  expect_stages_agree(run, GetParam());
}

// Adam hides a gradient that is too large by a factor: SGD does not.
TEST_P(client_training, sgd_agrees_at_every_stage_as_a_mean) {
  flat_run run;
  run.rule = ZERO_SGD;
  run.learning_rate = 0.001;
  expect_stages_agree(run, GetParam());
}

TEST_P(client_training, sgd_agrees_at_every_stage_as_a_sum) {
  flat_run run;
  run.rule = ZERO_SGD;
  run.gradients = ZERO_SUM;
  run.learning_rate = 0.0005;
  expect_stages_agree(run, GetParam());
}

TEST_P(client_training, micro_batches_agree_reduced_each) {
  flat_run run;
  run.rule = ZERO_SGD;
  run.learning_rate = 0.0005;
  run.micro_batches = 3;
  expect_stages_agree(run, GetParam());
}

TEST_P(client_training, micro_batches_agree_reduced_at_the_boundary) {
  flat_run run;
  run.rule = ZERO_SGD;
  run.learning_rate = 0.0005;
  run.micro_batches = 3;
  run.reduce_at = ZERO_AT_BOUNDARY;
  expect_stages_agree(run, GetParam());
}

TEST_P(client_training, prefetch_and_late_gradients_change_nothing) {
  flat_run run;
  run.stage = 3;
  const std::vector<flat_result> first = train_everywhere(GetParam(), run);
  run.late_gradients = true;
  for (const int prefetch : {0, 2, 5}) {
    run.prefetch = prefetch;
    EXPECT_TRUE(same_bits(train_everywhere(GetParam(), run)[0].parameters, first[0].parameters));
  }
}

TEST_P(client_training, memory_of_malloc_serves_up_to_stage_1) {
  flat_run run;
  const std::vector<flat_result> first = train_everywhere(GetParam(), run);
  run.ranges = false;
  for (const int stage : {0, 1}) {
    run.stage = stage;
    EXPECT_TRUE(same_bits(train_everywhere(GetParam(), run)[0].parameters, first[0].parameters));
  }
}

// The library's own memory instead of the client's: the same bits.
TEST_P(client_training, placed_agrees_with_mirrored) {
  for (const int reduce_at : {ZERO_EVERY_MICRO_BATCH, ZERO_AT_BOUNDARY}) {
    flat_run run;
    run.rule = ZERO_SGD;
    run.learning_rate = 0.0005;
    run.micro_batches = 2;
    run.reduce_at = reduce_at;
    const std::vector<flat_result> mirrored = train_everywhere(GetParam(), run);
    run.placed = true;
    for (const bool stable : {false, true}) {
      run.stable = stable;
      for (int stage = 0; stage <= 3; ++stage) {
        for (const bool every_call : {true, false}) {
          run.stage = stage;
          run.every_call = every_call;
          for (const flat_result& placed : train_everywhere(GetParam(), run)) {
            EXPECT_TRUE(same_bits(placed.parameters, mirrored[0].parameters))
                << "stage " << stage << ", stable " << stable << ", boundary " << reduce_at
                << ", every call " << every_call;
            EXPECT_EQ(placed.norms, mirrored[0].norms);
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(worlds, client_training, ::testing::Values(1, 2, 3, 7));

}  // namespace
}  // namespace zero::testing
