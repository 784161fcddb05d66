// A client's own rule: what it is shown is every element once, and what comes of it is what a loop
// over whole arrays comes to, wherever state is and rests.

#include "engine/own_rule_runs.hpp"

#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using partition::tier;

class own_rule : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(worlds, own_rule, ::testing::Values(1, 2, 3, 7));

TEST_P(own_rule, is_a_loop_over_whole_arrays_at_every_stage_on_every_tier) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    toy_run run = base_run(type);
    const plain_result right = train_plain(run, GetParam());
    for (const char* policy : {"0", "1", "2", "3"}) {
      for (const tier where : {tier::device, tier::host, tier::disk}) {
        SCOPED_TRACE(std::string(name_of(type)) + ", stage " + policy + ", " + name_of(where));
        rest_on(run, where, policy);
        expect_run(GetParam(), run, right);
      }
    }
  }
}

TEST_P(own_rule, with_clipping_and_narrow_gradients) {
  toy_run run = base_run(dtype::bf16);
  run.options.clip_norm = 0.25;
  for (const gradient_storage kept : {gradient_storage::fp32, gradient_storage::same}) {
    run.options.gradients = kept;
    const plain_result right = train_plain(run, GetParam());
    for (const char* policy : {"0", "2", "3"}) {
      for (const tier where : {tier::device, tier::disk}) {
        SCOPED_TRACE(std::string("stage ") + policy + ", " + name_of(where));
        rest_on(run, where, policy);
        expect_run(GetParam(), run, right);
      }
    }
  }
}

TEST_P(own_rule, under_accumulation) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
      toy_run run = base_run(type);
      run.micro_batches = run.options.accumulate = 2;
      run.options.reduction = when;
      const plain_result right = train_plain(run, GetParam());
      for (const char* policy : {"0", "1", "3"}) {
        for (const tier where : {tier::device, tier::host}) {
          SCOPED_TRACE(std::string("stage ") + policy + ", " + name_of(where));
          rest_on(run, where, policy);
          expect_run(GetParam(), run, right);
        }
      }
    }
  }
}

TEST(own_rule_of_groups, is_the_same) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    toy_run run = base_run(type);
    const plain_result right = train_plain(run, 4);
    for (const char* policy : {"hybrid", "hybrid1", "hpz"}) {
      for (const tier where : {tier::device, tier::disk}) {
        SCOPED_TRACE(std::string(policy) + ", " + name_of(where));
        rest_on(run, where, policy);
        expect_run(4, run, right);
      }
    }
  }
}

TEST_P(own_rule, is_not_called_in_a_step_that_is_left_out) {
  toy_run run = base_run();
  run.bad_step = 1;
  const plain_result right = train_plain(run, GetParam());
  for (const char* policy : {"0", "3"}) {
    for (const tier where : {tier::device, tier::disk}) {
      rest_on(run, where, policy);
      expect_run(GetParam(), run, right);
    }
  }
}

// Everything below the device, whose updates would else begin before the step.
TEST_P(own_rule, waits_for_the_step_that_was_announced) {
  toy_run run = base_run();
  run.announces = true;
  run.options.non_finite = non_finite::apply;
  const plain_result right = train_plain(run, GetParam());
  rest_on(run, tier::disk, "3");
  expect_run(GetParam(), run, right);
}

TEST_P(own_rule, moves_what_was_predicted) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    for (const char* policy : {"0", "1", "2", "3"}) {
      for (const int states : {0, odd_states}) {
        toy_run run = base_run(type);
        rest_on(run, tier::disk, policy);
        run.options.own_states = states;
        run.options.extra_states = 1;
        run_ranks(GetParam(), [&](collectives::communicator& ranks) {
          toy_run own = run;
          tier_report tiers;
          collectives::traffic sent;
          own.update = [&](sharded_optimizer& optimizer, int step) {
            static_cast<void>(optimizer.step(0.1F, [](const state_range&) {}));
            const tier_report moved = optimizer.tiers();
            const collectives::traffic now = optimizer.traffic();
            if (step == 2) {
              const auto& model = optimizer.layout().model();
              const auto bytes =
                  sharded_optimizer::predict_tier_traffic(model, run.options, GetParam()).step();
              EXPECT_EQ(moved.disk_read - tiers.disk_read, bytes.disk_read);
              EXPECT_EQ(moved.disk_written - tiers.disk_written, bytes.disk_written);
              EXPECT_EQ(moved.host_to_device - tiers.host_to_device, bytes.host_to_device);
              EXPECT_EQ(moved.device_to_host - tiers.device_to_host, bytes.device_to_host);
              const auto volume =
                  sharded_optimizer::predict_communication(model, run.options, GetParam()).step();
              EXPECT_EQ(now.all_gather - sent.all_gather, volume.all_gather);
              EXPECT_EQ(now.reduce_scatter - sent.reduce_scatter, volume.reduce_scatter);
              EXPECT_EQ(now.calls - sent.calls, volume.calls);
            }
            tiers = moved;
            sent = now;
          };
          static_cast<void>(train_toy(ranks, own));
        });
      }
    }
  }
}

// ---- what it is shown ----

struct shown {
  std::mutex mutex;
  std::vector<std::vector<int>> times;  // by parameter and element, on all ranks together
};

void expect_every_element(int world, const toy_run& base, int copies) {
  toy_run run = base;
  run.steps = 1;
  run.options.own_states = 2;
  run.options.extra_states = 1;
  shown all;
  run_ranks(world, [&](collectives::communicator& ranks) {
    toy_run own = run;
    own.update = [&](sharded_optimizer& optimizer, int) {
      const auto& layout = optimizer.layout();
      {
        const std::lock_guard lock(all.mutex);
        all.times.resize(layout.parameters().size());
        for (std::size_t p = 0; p < all.times.size(); ++p) {
          all.times[p].resize(layout.parameters()[p].count);
        }
      }
      std::pair<std::size_t, std::uint64_t> next{0, 0};
      optimizer.queue_step(run.learning_rate, [&](const state_range& range) {
        const auto& spec = layout.parameter(range.parameter);
        EXPECT_TRUE(spec.trainable);
        EXPECT_TRUE(spec.tied_to.empty());
        EXPECT_EQ(range.group, spec.group);
        EXPECT_EQ(range.learning_rate, spec.group == 1 ? 0.025F : 0.05F);
        EXPECT_EQ(range.step, 1U);
        EXPECT_EQ(range.state_count, 3);
        EXPECT_FALSE(range.on_device);
        EXPECT_EQ(range.gradient.count, range.count);
        EXPECT_EQ(range.parameters.count, range.count);
        EXPECT_EQ(range.parameters.type, run.type);
        EXPECT_GT(range.count, 0U);
        EXPECT_GE(std::pair(range.parameter, range.offset), next);
        next = {range.parameter, range.offset + range.count};
        ASSERT_LE(range.offset + range.count, layout.parameters()[range.parameter].count);
        const std::lock_guard lock(all.mutex);
        for (std::uint64_t i = 0; i < range.count; ++i) {
          const std::uint64_t element = range.offset + i;
          ++all.times[range.parameter][element];
          const float value = toy_value(range.parameter, element);
          EXPECT_EQ(range.master[i], value);
          if (run.type == dtype::bf16) {
            EXPECT_EQ(static_cast<const bf16_t*>(range.parameters.data)[i].bits,
                      to_bf16(value).bits);
          } else {
            EXPECT_EQ(static_cast<const float*>(range.parameters.data)[i], value);
          }
          for (int s = 0; s < range.state_count; ++s) EXPECT_EQ(range.states[s][i], 0.0F);
        }
      });
    };
    static_cast<void>(train_toy(ranks, own));
  });
  const auto units = toy_model(run.type, run.wide).units;
  std::size_t p = 0;
  for (const auto& unit : units) {
    for (const auto& spec : unit.parameters) {
      const bool seen = spec.trainable && spec.tied_to.empty();
      for (const int times : all.times[p]) ASSERT_EQ(times, seen ? copies : 0) << spec.name;
      ++p;
    }
  }
}

TEST_P(own_rule, is_shown_every_element_once_within_its_parameter) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    for (const char* policy : {"0", "1", "3"}) {
      for (const tier where : {tier::device, tier::host, tier::disk}) {
        SCOPED_TRACE(std::string(name_of(type)) + ", stage " + policy + ", " + name_of(where));
        toy_run run = base_run(type);
        rest_on(run, where, policy);
        expect_every_element(GetParam(), run, policy[0] == '0' ? GetParam() : 1);
      }
    }
  }
}

TEST_P(own_rule, is_shown_whole_parameters_where_they_lie_whole) {
  toy_run run = base_run();
  run.options.policy = partition::policy_of_stage(3);
  run.options.layout = partition::layout_kind::whole;
  run.steps = 1;
  run.options.own_states = 0;
  run.update = [](sharded_optimizer& optimizer, int) {
    optimizer.queue_step(0.05F, [&](const state_range& range) {
      EXPECT_EQ(range.offset, 0U);
      EXPECT_EQ(range.count, optimizer.layout().parameters()[range.parameter].count);
    });
  };
  run_ranks(GetParam(),
            [&](collectives::communicator& ranks) { static_cast<void>(train_toy(ranks, run)); });
}

// Nothing but the weights is kept of an element then, and there may be nothing to bring down.
TEST_P(own_rule, may_keep_no_state) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    toy_run run = base_run(type);
    run.options.own_states = 0;
    run.update = [](sharded_optimizer& optimizer, int) {
      optimizer.queue_step(0.5F, [](const state_range& range) {
        EXPECT_EQ(range.state_count, 0);
        for (std::uint64_t i = 0; i < range.count; ++i) range.master[i] *= 0.5F;
      });
    };
    for (const char* policy : {"0", "1", "2", "3"}) {
      for (const tier where : {tier::device, tier::host, tier::disk}) {
        SCOPED_TRACE(std::string(name_of(type)) + ", stage " + policy + ", " + name_of(where));
        rest_on(run, where, policy);
        run_ranks(GetParam(), [&](collectives::communicator& ranks) {
          const toy_result got = train_toy(ranks, run);
          EXPECT_EQ(got.memory.predicted, got.memory.measured);
          if (ranks.rank() != 0) return;
          EXPECT_EQ(got.master[0][3], toy_value(0, 3) / 8);
          EXPECT_EQ(got.master[3][7062], toy_value(3, 7062) / 8);
        });
      }
    }
  }
}

// SGD by gradients divided by four at four times the rate: every product is the same.
TEST(gradient_divisor, divides_for_the_built_in_rules_too) {
  for (const char* policy : {"0", "1", "2", "3"}) {
    toy_result results[2];
    for (const bool divided : {false, true}) {
      toy_run run = base_run();
      run.options.policy = partition::policy_of_name(policy, 2);
      run.options.algorithm = optim::algorithm::sgd;
      run.options.gradient_divisor = divided ? 4.0 : 1.0;
      run.learning_rate = divided ? 0.2F : 0.2F / 4;
      run_ranks(3, [&](collectives::communicator& ranks) {
        toy_result own = train_toy(ranks, run);
        if (ranks.rank() == 0) results[divided ? 1 : 0] = std::move(own);
      });
    }
    EXPECT_EQ(to_hex(results[1].digest), to_hex(results[0].digest));
    for (std::size_t i = 0; i < results[0].norms.size(); ++i) {
      EXPECT_EQ(results[1].norms[i] * 4, results[0].norms[i]);
    }
  }
}

}  // namespace
}  // namespace zero::testing
