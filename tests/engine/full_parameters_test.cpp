// The full-parameters region and the streaming of master weights.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace zero::testing {
namespace {

engine_options at_stage(int stage) {
  engine_options options;
  options.policy = partition::policy_of_stage(stage);
  options.groups.resize(2);
  return options;
}

void fill(sharded_optimizer& optimizer) {
  optimizer.initialize([](std::size_t parameter, std::uint64_t offset, span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, offset + i);
  });
}

class regions : public ::testing::TestWithParam<std::tuple<int, int>> {};
INSTANTIATE_TEST_SUITE_P(full_parameters, regions,
                         ::testing::Combine(::testing::Values(1, 2, 3),
                                            ::testing::Values(0, 1, 2, 3)));

TEST_P(regions, show_every_parameter_and_give_their_memory_back) {
  const auto [world, stage] = GetParam();
  run_ranks(world, [stage = stage](collectives::communicator& ranks) {
    sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), at_stage(stage));
    fill(optimizer);
    const memory_by_account before = optimizer.memory().measured;
    {
      const full_parameters_region region = optimizer.full_parameters();
      for (const partition::placement& p : optimizer.layout().parameters()) {
        const const_typed_span values = region.parameter(p.index);
        ASSERT_EQ(values.count, p.count);
        for (std::uint64_t e = 0; e < p.count; ++e) {
          ASSERT_EQ(static_cast<const float*>(values.data)[e], toy_value(p.storage, e));
        }
      }
      EXPECT_THROW(static_cast<void>(region.parameter(99)), invalid_argument);
    }
    EXPECT_EQ(optimizer.memory().measured, before);
  });
}

TEST_P(regions, write_makes_rank_0_the_truth_and_keeps_untouched_precision) {
  const auto [world, stage] = GetParam();
  run_ranks(world, [stage = stage](collectives::communicator& ranks) {
    sharded_optimizer optimizer(ranks, toy_model(dtype::bf16), at_stage(stage));
    // 1 + 2^-12 is lost in bf16: only the master weights know it.
    optimizer.initialize([](std::size_t, std::uint64_t, span<float> values) {
      for (float& v : values) v = 1.0F + 0x1p-12F;
    });
    {
      full_parameters_region region = optimizer.full_parameters();
      auto* values = static_cast<bf16_t*>(region.writable(3).data);
      values[7] = to_bf16(ranks.rank() == 0 ? 3.0F : 9.0F);
      region.write();
      EXPECT_EQ(to_float(static_cast<const bf16_t*>(region.parameter(3).data)[7]), 3.0F);
    }
    std::vector<float> master;
    optimizer.stream_master([&](std::size_t parameter, std::uint64_t, span<const float> values) {
      if (parameter == 3) master.insert(master.end(), values.begin(), values.end());
    });
    if (ranks.rank() == 0) {
      ASSERT_EQ(master.size(), 1009U);
      EXPECT_EQ(master[7], 3.0F);
      EXPECT_EQ(master[8], 1.0F + 0x1p-12F);
    } else {
      EXPECT_TRUE(master.empty());
    }
    optimizer.begin_micro_batch(pass::evaluate);
    const gathered_unit held = optimizer.gather(1);
    EXPECT_EQ(to_float(static_cast<const bf16_t*>(held.parameter(0).data)[7]), 3.0F);
  });
}

TEST_P(regions, master_weights_stream_in_registration_order_with_tied_ones_once) {
  const auto [world, stage] = GetParam();
  run_ranks(world, [stage = stage](collectives::communicator& ranks) {
    for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
      sharded_optimizer optimizer(ranks, toy_model(type), at_stage(stage));
      fill(optimizer);
      std::vector<std::size_t> order;
      std::vector<std::uint64_t> counts(optimizer.layout().parameters().size());
      optimizer.stream_master([&](std::size_t p, std::uint64_t offset, span<const float> values) {
        if (order.empty() || order.back() != p) order.push_back(p);
        EXPECT_EQ(offset, counts[p]);
        counts[p] += values.size();
        const bool frozen = p == 5;
        for (std::size_t i = 0; i < values.size(); ++i) {
          const float exact = toy_value(p, offset + i);
          const float kept = !frozen || type == dtype::fp32 ? exact
                             : type == dtype::bf16          ? to_float(to_bf16(exact))
                                                            : to_float(to_fp16(exact));
          ASSERT_EQ(values[i], kept) << p;
        }
      });
      if (ranks.rank() == 0) {
        EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 3, 5, 6, 7, 8}));
        EXPECT_EQ(counts[8], 1200U);
      }
    }
  });
}

}  // namespace
}  // namespace zero::testing
