// On a device the host runs ahead of the work it queues. Nothing of a step may depend on the host
// having waited: the same bits come of a device that is late at random, at every policy, and of
// a client that never asks what became of a step.

#include "engine/device_runs.hpp"
#include "engine/tier_scratch.hpp"
#include "support/queued_device.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace zero::testing {
namespace {

constexpr int longest_pause_us = 300;

void expect_same_on_device(int world, const toy_run& run, const toy_result& host) {
  run_ranks(world, [&](collectives::communicator& ranks) {
    queued_stream lane(static_cast<std::uint64_t>(ranks.rank()) + 17, longest_pause_us);
    const auto work = make_queued_processor(lane);
    const auto device = on_device(ranks);
    const toy_result own = train_toy(
        *device, *work,
        [&](element_use, typed_span elements, piece_of_work piece) {
          lane.run([elements, piece = std::move(piece)] { piece(elements); });
        },
        run);
    expect_as_on_host(own, host);
  });
}

class stages_on_device : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(all, stages_on_device, ::testing::Values(0, 1, 2, 3));

TEST_P(stages_on_device, have_the_bits_of_the_host) {
  for (const int world : {1, 2, 3}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      for (const gradient_storage kept : {gradient_storage::fp32, gradient_storage::same}) {
        toy_run run = base_run(GetParam(), type);
        run.options.gradients = kept;
        SCOPED_TRACE(std::to_string(world) + " ranks, " + name_of(type));
        expect_same_on_device(world, run, train_on_host(world, run));
      }
    }
  }
}

TEST_P(stages_on_device, accumulate_alike) {
  for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
    toy_run run = base_run(GetParam(), dtype::bf16);
    run.micro_batches = run.options.accumulate = 3;
    run.options.reduction = when;
    expect_same_on_device(3, run, train_on_host(3, run));
  }
}

TEST_P(stages_on_device, skip_a_step_that_is_not_finite_without_being_asked) {
  toy_run run = base_run(GetParam(), dtype::fp16);
  run.options.loss_scale = {64.0F, true, 2.0F, 0.5F, 2, 1, 1.0F, 1024.0F};
  run.bad_step = 1;
  const toy_result host = train_on_host(2, run);
  EXPECT_EQ(host.skipped, (std::vector<bool>{false, true, false, false}));
  expect_same_on_device(2, run, host);
}

TEST(stage_3_on_device, has_the_same_bits_at_every_prefetch_and_addressing) {
  for (const int prefetch : {0, 1, 2, 9}) {
    for (const addressing how : {addressing::slots, addressing::stable}) {
      toy_run run = base_run(3, dtype::fp32);
      run.options.prefetch = prefetch;
      run.options.addressing = how;
      run.evaluate_between = true;
      SCOPED_TRACE(prefetch);
      expect_same_on_device(3, run, train_on_host(3, run));
    }
  }
}

TEST(groups_on_device, have_the_bits_of_the_host) {
  using so = partition::sharded_over;
  for (const partition::sharding_policy& policy :
       {partition::policy_of_name("hybrid", 2), partition::policy_of_name("hybrid1", 2),
        partition::policy_of_name("hpz", 2), partition::policy_of_name("hpz", 1),
        partition::sharding_policy{so::nobody, so::nobody, so::group, false, 2},
        partition::sharding_policy{so::nobody, so::group, so::group, false, 2}}) {
    for (const int prefetch : {0, 2}) {
      for (const int accumulate : {1, 2}) {
        toy_run run = base_run(0, dtype::bf16);
        run.micro_batches = run.options.accumulate = accumulate;
        const toy_result host = train_on_host(4, run);
        run.options.policy = policy;
        run.options.prefetch = prefetch;
        run.evaluate_between = prefetch > 0;
        expect_same_on_device(4, run, host);
      }
    }
  }
}

TEST_P(stages_on_device, work_in_codes_alike) {
  for (const int accumulate : {1, 2}) {
    toy_run run = base_run(GetParam(), dtype::bf16);
    run.micro_batches = run.options.accumulate = accumulate;
    run.options.quantized_gather = 8;
    run.options.quantized_reduce = 4;
    run.options.addressing = accumulate == 1 ? addressing::slots : addressing::stable;
    run.options.prefetch = accumulate;
    for (const int node_ranks : {2, 4}) {
      run.options.node_ranks = node_ranks;
      expect_same_on_device(4, run, train_on_host(4, run));
    }
  }
}

TEST(groups_on_device_in_codes, have_the_bits_of_the_host) {
  for (const char* name : {"hybrid", "hybrid1", "hpz"}) {
    toy_run run = base_run(3, dtype::bf16);
    run.options.policy = partition::policy_of_name(name, 2);
    run.options.quantized_gather = 8;
    run.options.quantized_reduce = 4;
    SCOPED_TRACE(name);
    expect_same_on_device(4, run, train_on_host(4, run));
  }
}

// Copies between tiers are late as well, and wait for nothing by themselves.
TEST_P(stages_on_device, rest_on_any_tier_alike) {
  using partition::tier;
  for (const int accumulate : {1, 2}) {
    for (const tier rests : {tier::host, tier::disk}) {
      for (const double ratio : {0.0, 0.5, 1.0}) {
        toy_run run = base_run(GetParam(), accumulate == 1 ? dtype::fp32 : dtype::bf16);
        run.wide = 7;
        run.asks = accumulate == 1;
        run.micro_batches = run.options.accumulate = accumulate;
        const toy_result host = train_on_host(2, run);
        run.options.disk_directory = tier_scratch();
        run.options.tiers.cell_elements = 2048;
        run.options.tiers.optimizer = rests;
        run.options.tiers.optimizer_ratio = ratio;
        if (GetParam() >= 2) run.options.tiers.gradients = rests;
        if (GetParam() == 3) run.options.tiers.parameters = rests;
        SCOPED_TRACE(std::string(name_of(rests)) + ", " + std::to_string(ratio));
        expect_same_on_device(2, run, host);
      }
    }
  }
}

TEST_P(stages_on_device, update_before_the_step_alike) {
  for (const partition::tier rests : {partition::tier::host, partition::tier::disk}) {
    toy_run run = base_run(GetParam(), dtype::bf16);
    run.wide = 7;
    run.announces = true;
    run.options.clip_norm = 0.0;
    run.options.non_finite = non_finite::apply;
    const toy_result host = train_on_host(2, run);
    run.options.disk_directory = tier_scratch();
    run.options.tiers.cell_elements = 2048;
    run.options.tiers.optimizer = rests;
    if (GetParam() == 3) run.options.tiers.parameters = rests;
    expect_same_on_device(2, run, host);
  }
}

TEST_P(stages_on_device, need_not_be_asked_what_became_of_a_step) {
  toy_run run = base_run(GetParam(), dtype::bf16);
  run.asks = false;
  run.steps = 6;
  expect_same_on_device(3, run, train_on_host(3, run));
}

// The client of queue_step learns of a step that ranks took differently when it asks.
TEST(device, dissent_is_told_by_last_step) {
  run_ranks(2, [&](collectives::communicator& ranks) {
    queued_stream lane(5, longest_pause_us);
    const auto work = make_queued_processor(lane);
    const auto device = on_device(ranks);
    sharded_optimizer optimizer(*device, *work, toy_model(dtype::fp32),
                                base_run(2, dtype::fp32).options);
    optimizer.queue_step(ranks.rank() == 0 ? 0.1F : 0.2F);
    EXPECT_THROW(static_cast<void>(optimizer.last_step()), desync);
  });
}

TEST(device, is_refused_with_memory_of_another_place) {
  run_ranks(1, [&](collectives::communicator& ranks) {
    queued_stream lane(5, 0);
    const auto work = make_queued_processor(lane);
    EXPECT_THROW(
        sharded_optimizer(ranks, *work, toy_model(dtype::fp32), base_run(2, dtype::fp32).options),
        invalid_argument);
  });
}

}  // namespace
}  // namespace zero::testing
