#include "sample_models.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <gtest/gtest.h>

#include <array>
#include <climits>
#include <cstdio>

namespace zero::partition::testing {
namespace {

TEST(sharding_policy, rows) {
  // parameters, gradients, optimizer
  const std::array<std::array<bool, 3>, 4> expected{
      {{false, false, false}, {false, false, true}, {false, true, true}, {true, true, true}}};
  for (int stage = 0; stage < 4; ++stage) {
    const sharding_policy policy = policy_of_stage(stage);
    const auto& row = expected[static_cast<std::size_t>(stage)];
    EXPECT_EQ(is_sharded(policy.parameters), row[0]) << stage;
    EXPECT_EQ(is_sharded(policy.gradients), row[1]) << stage;
    EXPECT_EQ(is_sharded(policy.optimizer), row[2]) << stage;
    EXPECT_NO_THROW(check(policy)) << stage;
  }
}

TEST(sharding_policy, other_stages_are_refused_by_number) {
  for (const int stage : {-1, 4, INT_MIN, INT_MAX}) {
    try {
      static_cast<void>(policy_of_stage(stage));
      FAIL() << stage;
    } catch (const invalid_argument& refused) {
      EXPECT_NE(std::string(refused.what()).find(std::to_string(stage)), std::string::npos);
    }
  }
}

TEST(sharding_policy, what_is_sharded_is_monotone) {
  int accepted = 0;
  for (int bits = 0; bits < 8; ++bits) {
    const auto over = [&](int bit) {
      return (bits >> bit & 1) != 0 ? sharded_over::world : sharded_over::nobody;
    };
    const sharding_policy policy{over(0), over(1), over(2)};
    const bool legal = bits == 0b000 || bits == 0b100 || bits == 0b110 || bits == 0b111;
    if (legal) {
      EXPECT_NO_THROW(check(policy)) << bits;
      ++accepted;
    } else {
      EXPECT_THROW(check(policy), invalid_argument) << bits;
    }
  }
  EXPECT_EQ(accepted, 4);
}

// Figure 1 of the ZeRO paper (arXiv:1910.02054): 7.5e9 parameters, Adam, mixed precision, 64
// ranks; 2 bytes of parameters, 2 of gradients and 12 of optimizer states (K = 12) a parameter.
TEST(sharding_policy, model_state_of_the_paper) {
  layout_options options;
  options.world_size = 64;
  const layout l({{{"all", {tensor("w", {7'500'000'000}, dtype::bf16)}}}}, options);
  const auto gigabytes = [&](int stage) {
    const sharding_policy policy = policy_of_stage(stage);
    const auto bytes = [&](sharded_over over, std::uint64_t each) {
      return each * (is_sharded(over) ? l.padded() / 64 : l.payload());
    };
    const std::uint64_t total =
        bytes(policy.parameters, 2) + bytes(policy.gradients, 2) + bytes(policy.optimizer, 12);
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f", static_cast<double>(total) / 1e9);
    return std::string(text.data());
  };
  EXPECT_EQ(gigabytes(0), "120.0");
  EXPECT_EQ(gigabytes(1), "31.4");
  EXPECT_EQ(gigabytes(2), "16.6");
  EXPECT_EQ(gigabytes(3), "1.9");
}

}  // namespace
}  // namespace zero::partition::testing
