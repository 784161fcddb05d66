// What is asked or said before a step: its norm, a vote to leave it out, constants of its own.

#include "engine/own_rule_runs.hpp"
#include "support/expect_everywhere.hpp"
#include "support/queued_device.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using partition::tier;

class step_votes : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(worlds, step_votes, ::testing::Values(1, 2, 3, 7));

void expect_masters(int world, const toy_run& run, const plain_result& right) {
  run_ranks(world, [&](collectives::communicator& ranks) {
    const toy_result got = train_toy(ranks, run);
    EXPECT_EQ(got.memory.predicted, got.memory.measured);
    EXPECT_EQ(got.allocations_after_first_step, got.allocations_at_end);
    if (ranks.rank() == 0) expect_plain(got, right);
  });
}

TEST_P(step_votes, the_norm_is_that_of_the_step_and_changes_nothing) {
  for (const int accumulate : {1, 2}) {
    for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
      toy_run run = base_run(dtype::bf16);
      run.micro_batches = run.options.accumulate = accumulate;
      run.options.reduction = when;
      run.options.clip_norm = 0.25;
      const plain_result right = train_plain(run, GetParam());
      run.options.own_states = odd_states;
      run.update = [&](sharded_optimizer& optimizer, int) {
        const double norm = optimizer.gradient_norm();
        EXPECT_THROW(optimizer.reduce(1), invalid_argument);
        EXPECT_THROW(static_cast<void>(optimizer.gradients(1)), invalid_argument);
        EXPECT_EQ(optimizer.gradient_norm(), norm);
        EXPECT_EQ(optimizer.step(run.learning_rate, odd_rule).gradient_norm, norm);
      };
      for (const char* policy : {"0", "1", "2", "3"}) {
        for (const tier where : {tier::device, tier::host, tier::disk}) {
          SCOPED_TRACE(std::string("stage ") + policy + ", " + name_of(where));
          rest_on(run, where, policy);
          expect_masters(GetParam(), run, right);
        }
      }
    }
  }
}

TEST(step_votes_of_groups, see_the_same_norm) {
  toy_run run = base_run(dtype::bf16);
  const plain_result right = train_plain(run, 4);
  run.options.own_states = odd_states;
  run.update = [&](sharded_optimizer& optimizer, int) {
    const double norm = optimizer.gradient_norm();
    EXPECT_EQ(optimizer.step(run.learning_rate, odd_rule).gradient_norm, norm);
  };
  for (const char* policy : {"hybrid", "hybrid1", "hpz"}) {
    SCOPED_TRACE(policy);
    rest_on(run, tier::device, policy);
    expect_masters(4, run, right);
  }
}

TEST(step_votes, a_norm_of_nothing_is_zero_and_of_an_infinity_is_not_finite) {
  run_ranks(2, [](collectives::communicator& ranks) {
    engine_options options;
    options.groups.resize(2);
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
    EXPECT_EQ(optimizer.gradient_norm(), 0.0);
    static_cast<void>(optimizer.step(0.1F));
    optimizer.begin_micro_batch();
    if (ranks.rank() == 1) {
      static_cast<float*>(optimizer.gradients(2).gradient(0).data)[7] = INFINITY;
    }
    optimizer.reduce(2);
    EXPECT_FALSE(std::isfinite(optimizer.gradient_norm()));
    EXPECT_TRUE(optimizer.step(0.1F).skipped);
  });
}

TEST(step_votes, a_norm_after_other_reductions_than_the_others_is_told) {
  expect_everywhere<desync>(3, {1}, {"2 reductions, not"}, [](collectives::communicator& ranks) {
    engine_options options;
    options.groups.resize(2);
    options.accumulate = 2;
    options.reduction = reduce_at::boundary;
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
    optimizer.begin_micro_batch();
    for (int i = 0; i <= (ranks.rank() == 1 ? 1 : 0); ++i) optimizer.reduce(1);
    static_cast<void>(optimizer.gradient_norm());
  });
}

// As the step of a gradient that is not finite is.
TEST_P(step_votes, a_step_one_rank_does_not_want_is_left_out_by_all) {
  for (const non_finite how : {non_finite::skip, non_finite::apply}) {
    toy_run run = base_run();
    run.bad_step = 1;
    const plain_result right = train_plain(run, GetParam());
    if (how == non_finite::skip) run.bad_step = -1;
    run.options.non_finite = how;
    for (const char* policy : {"0", "3"}) {
      for (const tier where : {tier::device, tier::disk}) {
        rest_on(run, where, policy);
        run.options.own_states = odd_states;
        run_ranks(GetParam(), [&](collectives::communicator& ranks) {
          toy_run own = run;
          own.update = [&](sharded_optimizer& optimizer, int step) {
            if (step == 1 && ranks.rank() == GetParam() - 1) optimizer.skip_next_step();
            EXPECT_EQ(optimizer.step(own.learning_rate, odd_rule).skipped, step == 1);
          };
          const toy_result got = train_toy(ranks, own);
          if (ranks.rank() != 0) return;
          EXPECT_EQ(got.master, right.master);
        });
      }
    }
  }
}

TEST(step_votes, leaving_out_lowers_no_loss_scale) {
  run_ranks(2, [](collectives::communicator& ranks) {
    engine_options options;
    options.groups.resize(2);
    options.loss_scale = {64.0F, true, 2.0F, 0.5F, 100, 1, 1.0F, 1024.0F};
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
    if (ranks.rank() == 0) optimizer.skip_next_step();
    const step_result left_out = optimizer.step(0.1F);
    EXPECT_TRUE(left_out.skipped);
    EXPECT_EQ(left_out.step, 0U);
    EXPECT_EQ(optimizer.loss_scale(), 64.0F);
    EXPECT_FALSE(optimizer.step(0.1F).skipped);  // a vote counts once
  });
}

// Of the built-in rules, which have no host that knows.
TEST(step_votes, built_in_rules_leave_out_as_well) {
  for (const char* policy : {"0", "1", "2", "3"}) {
    std::string digests[2];
    for (const bool left_out : {false, true}) {
      toy_run run = base_run();
      rest_on(run, tier::host, policy);
      if (!left_out) run.bad_step = 1;
      run_ranks(3, [&](collectives::communicator& ranks) {
        toy_run own = run;
        own.update = [&](sharded_optimizer& optimizer, int step) {
          if (left_out && step == 1 && ranks.rank() == 2) optimizer.skip_next_step();
          optimizer.queue_step(own.learning_rate);
        };
        const toy_result got = train_toy(ranks, own);
        if (ranks.rank() == 0) digests[left_out ? 1 : 0] = to_hex(got.digest);
      });
    }
    EXPECT_EQ(digests[1], digests[0]);
  }
}

TEST(step_votes, on_what_was_announced_and_may_have_begun_come_too_late) {
  run_ranks(2, [](collectives::communicator& ranks) {
    toy_run run = base_run();
    rest_on(run, tier::host, "3");
    run.options.non_finite = non_finite::apply;
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), run.options);
    optimizer.announce_step(0.1F);
    EXPECT_THROW(optimizer.skip_next_step(), invalid_argument);
    EXPECT_THROW(optimizer.set_group(0, {}), invalid_argument);
    EXPECT_FALSE(optimizer.step(0.1F).skipped);
    optimizer.skip_next_step();
    EXPECT_THROW(optimizer.announce_step(0.1F), invalid_argument);
    EXPECT_TRUE(optimizer.step(0.1F).skipped);
  });
}

// ---- constants ----

void change_rate(engine_options& options, int step) {
  options.groups[1].learning_rate_factor = 0.5F + 0.25F * static_cast<float>(step);
}

TEST_P(step_votes, constants_may_be_others_in_every_step) {
  toy_run run = base_run();
  const plain_result right = train_plain(run, GetParam(), change_rate);
  run.options.own_states = odd_states;
  run.update = [&](sharded_optimizer& optimizer, int step) {
    engine_options now = optimizer.options();
    change_rate(now, step);
    optimizer.set_group(1, now.groups[1]);
    EXPECT_EQ(optimizer.options().groups[1].learning_rate_factor,
              now.groups[1].learning_rate_factor);
    optimizer.queue_step(run.learning_rate, odd_rule);
  };
  for (const char* policy : {"0", "3"}) {
    for (const tier where : {tier::device, tier::disk}) {
      rest_on(run, where, policy);
      expect_masters(GetParam(), run, right);
    }
  }
}

TEST(step_votes, constants_set_before_a_step_are_those_it_was_made_with) {
  for (const char* policy : {"0", "3"}) {
    std::string digests[2];
    for (const bool later : {false, true}) {
      toy_run run = base_run(dtype::bf16);
      rest_on(run, tier::device, policy);
      parameter_group wanted = run.options.groups[0];
      wanted.constants.weight_decay = 0.25F;
      wanted.constants.beta1 = 0.5F;
      if (!later) run.options.groups[0] = wanted;
      run.update = [&](sharded_optimizer& optimizer, int step) {
        if (later && step == 0) optimizer.set_group(0, wanted);
        optimizer.queue_step(run.learning_rate);
      };
      run_ranks(2, [&](collectives::communicator& ranks) {
        const toy_result got = train_toy(ranks, run);
        if (ranks.rank() == 0) digests[later ? 1 : 0] = to_hex(got.digest);
      });
    }
    EXPECT_EQ(digests[1], digests[0]);
  }
}

TEST(step_votes, constants_that_differ_between_ranks_are_told) {
  for (int which = 0; which < 3; ++which) {
    expect_everywhere<desync>(3, {1}, {"rank 1 steps otherwise", "constants of groups"},
                              [&](collectives::communicator& ranks) {
                                engine_options options;
                                options.groups.resize(2);
                                sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
                                EXPECT_THROW(optimizer.set_group(2, {}), invalid_argument);
                                EXPECT_THROW(optimizer.set_group(-1, {}), invalid_argument);
                                parameter_group other;
                                if (which == 0) other.constants.epsilon = 1e-6F;
                                if (which == 1) other.learning_rate_factor = 0.5F;
                                if (which == 2) other.constants.nesterov = true;
                                if (ranks.rank() == 1) optimizer.set_group(1, other);
                                static_cast<void>(optimizer.step(0.1F));
                              });
  }
}

// ---- where the host runs ahead ----

TEST_P(step_votes, and_the_own_rule_are_the_same_on_a_device) {
  if (GetParam() > 3) GTEST_SKIP() << "as with three ranks";
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    toy_run run = base_run(type);
    run.options.clip_norm = 0.25;
    const plain_result right = train_plain(run, GetParam(), change_rate);
    run.options.own_states = odd_states;
    for (const char* policy : {"0", "1", "2", "3"}) {
      for (const tier where : {tier::device, tier::host, tier::disk}) {
        SCOPED_TRACE(std::string("stage ") + policy + ", " + name_of(where));
        rest_on(run, where, policy);
        run_ranks(GetParam(), [&](collectives::communicator& ranks) {
          queued_stream lane(static_cast<std::uint64_t>(ranks.rank()) + 5, 200);
          const auto work = make_queued_processor(lane);
          const auto device = on_device(ranks);
          toy_run own = run;
          own.update = [&](sharded_optimizer& optimizer, int step) {
            engine_options now = optimizer.options();
            change_rate(now, step);
            optimizer.set_group(1, now.groups[1]);
            const double norm = optimizer.gradient_norm();
            optimizer.queue_step(own.learning_rate, [&](const state_range& range) {
              if (range.on_device) return lane.run([range] { odd_rule(range); });
              odd_rule(range);
            });
            EXPECT_EQ(optimizer.last_step().gradient_norm, norm);
          };
          const toy_result got = train_toy(
              *device, *work,
              [&](element_use, typed_span elements, piece_of_work piece) {
                lane.run([elements, piece = std::move(piece)] { piece(elements); });
              },
              own);
          EXPECT_EQ(got.memory.predicted, got.memory.measured);
          if (ranks.rank() == 0) expect_plain(got, right);
        });
      }
    }
  }
}

}  // namespace
}  // namespace zero::testing
