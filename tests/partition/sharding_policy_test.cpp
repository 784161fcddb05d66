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
    EXPECT_NO_THROW(check(policy, 4)) << stage;
    EXPECT_EQ(stage_of(policy), stage);
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

constexpr auto nobody = sharded_over::nobody;
constexpr auto group = sharded_over::group;
constexpr auto world = sharded_over::world;

void expect_row(const std::string& name, const sharding_policy& expected) {
  const sharding_policy got = policy_of_name(name, expected.group_size);
  EXPECT_EQ(got.parameters, expected.parameters) << name;
  EXPECT_EQ(got.gradients, expected.gradients) << name;
  EXPECT_EQ(got.optimizer, expected.optimizer) << name;
  EXPECT_EQ(got.secondary_parameters, expected.secondary_parameters) << name;
  EXPECT_EQ(got.group_size, expected.group_size) << name;
  EXPECT_EQ(has_groups(name), expected.group_size != 0) << name;
  EXPECT_EQ(has_groups(got), expected.group_size != 0) << name;
  EXPECT_NO_THROW(check(got, 8)) << name;
}

TEST(sharding_policy, rows_by_name) {
  expect_row("0", {nobody, nobody, nobody, false, 0});
  expect_row("1", {nobody, nobody, world, false, 0});
  expect_row("2", {nobody, world, world, false, 0});
  expect_row("3", {world, world, world, false, 0});
  expect_row("hybrid", {group, group, group, false, 4});
  expect_row("mics", {group, group, group, false, 2});
  expect_row("hybrid1", {group, world, world, false, 4});
  expect_row("hpz", {world, world, world, true, 4});
  EXPECT_EQ(policy_names(),
            (std::vector<std::string>{"0", "1", "2", "3", "hybrid", "mics", "hybrid1", "hpz"}));
  for (const char* name : {"hybrid", "hybrid1", "hpz"}) {
    EXPECT_EQ(stage_of(policy_of_name(name, 2)), 3) << name;
  }
  EXPECT_EQ(policy_of_name("3", 4).group_size, 0);  // nothing would read it
}

template <typename Call>
std::string refusal_of(Call call) {
  try {
    call();
  } catch (const invalid_argument& refused) {
    return refused.what();
  }
  ADD_FAILURE() << "accepted";
  return {};
}

TEST(sharding_policy, other_names_are_refused_with_those_that_are) {
  for (const char* name : {"", "4", "-1", "03", "hybrid2", "HYBRID"}) {
    const std::string text = refusal_of([&] { static_cast<void>(policy_of_name(name, 2)); });
    EXPECT_NE(text.find("'" + std::string(name) + "'"), std::string::npos) << text;
    for (const std::string& row : policy_names()) {
      EXPECT_NE(text.find(row), std::string::npos) << text;
    }
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_THROW(static_cast<void>(has_groups(std::string(name))), invalid_argument);
  }
}

TEST(sharding_policy, what_is_sharded_is_monotone) {
  int accepted = 0;
  for (const auto parameters : {nobody, group, world}) {
    for (const auto gradients : {nobody, group, world}) {
      for (const auto optimizer : {nobody, group, world}) {
        const sharding_policy policy{parameters, gradients, optimizer, false, 2};
        // Ranks that share one copy, in a world of 4.
        const auto ranks = [](sharded_over over) {
          return over == nobody ? 1 : over == group ? 2 : 4;
        };
        const bool legal =
            ranks(parameters) <= ranks(gradients) && ranks(gradients) <= ranks(optimizer);
        if (legal) {
          EXPECT_NO_THROW(check(policy, 4));
          ++accepted;
        } else {
          EXPECT_THROW(check(policy, 4), invalid_argument);
          EXPECT_THROW(static_cast<void>(resolved(policy, 4)), invalid_argument);
        }
      }
    }
  }
  EXPECT_EQ(accepted, 10);
}

TEST(sharding_policy, groups_divide_the_world) {
  for (const std::string name : {"hybrid", "mics", "hybrid1", "hpz"}) {
    for (int n = 1; n <= 12; ++n) {
      for (int size = -1; size <= 13; ++size) {
        const sharding_policy policy = policy_of_name(name, size);
        bool divides = false;
        for (int groups = 1; groups <= n; ++groups) divides = divides || groups * size == n;
        if (divides) {
          EXPECT_NO_THROW(check(policy, n)) << name << " " << size << " of " << n;
          continue;
        }
        const std::string text = refusal_of([&] { check(policy, n); });
        EXPECT_NE(text.find("groups of " + std::to_string(size)), std::string::npos) << text;
        EXPECT_NE(text.find("world of " + std::to_string(n)), std::string::npos) << text;
      }
    }
  }
  EXPECT_NO_THROW(check({world, world, world, false, -7}, 5));  // nobody reads it
}

TEST(sharding_policy, secondary_parameters_need_parameters_over_the_world) {
  for (const auto parameters : {nobody, group}) {
    const sharding_policy policy{parameters, world, world, true, 2};
    EXPECT_NE(refusal_of([&] { check(policy, 4); }).find("secondary"), std::string::npos);
  }
}

TEST(sharding_policy, degenerate_groups_are_rows_without_groups) {
  const auto expect_same = [](const sharding_policy& a, const sharding_policy& b) {
    EXPECT_EQ(a.parameters, b.parameters);
    EXPECT_EQ(a.gradients, b.gradients);
    EXPECT_EQ(a.optimizer, b.optimizer);
    EXPECT_EQ(a.secondary_parameters, b.secondary_parameters);
    EXPECT_EQ(a.group_size, b.group_size);
  };
  for (const int n : {1, 2, 3, 6}) {
    for (const char* name : {"hybrid", "hybrid1", "hpz"}) {
      expect_same(resolved(policy_of_name(name, n), n), policy_of_name("3"));
    }
    if (n == 1) continue;
    expect_same(resolved(policy_of_name("hybrid", 1), n), policy_of_name("0"));
    expect_same(resolved(policy_of_name("hybrid1", 1), n), policy_of_name("2"));
    expect_same(resolved(policy_of_name("hpz", 1), n), policy_of_name("hpz", 1));
  }
  // What the update does not read does not rest.
  expect_same(resolved({nobody, group, world, false, 2}, 4), policy_of_name("2"));
  expect_same(resolved({group, group, world, false, 2}, 4), policy_of_name("hybrid1", 2));
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
