// What is chosen for a budget against every choice there is.

#include "tier_choices.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/fit.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace zero::partition::testing {
namespace {

// Where a choice stands in the order that fit promises.
using standing = std::tuple<int, int, int, int>;  // shape, optimizer, gradients, parameters

struct option {
  standing at;
  tiering tiers;
  std::uint64_t bytes = 0;
};

const std::vector<std::tuple<std::uint64_t, int, int>> shapes{
    {131072, 8, 4}, {65536, 8, 4}, {32768, 8, 4}, {32768, 6, 4},
    {32768, 4, 2},  {16384, 4, 2}, {16384, 3, 2}, {16384, 2, 2}};

// All choices of what may rest on a disk that stage 3 allows, each class on its own.
std::vector<option> all_options(const layout& of, const plan_options& base, const free_tiers& may) {
  std::vector<option> all;
  for (std::size_t s = 0; s < shapes.size(); ++s) {
    for (int share = may.optimizer ? 0 : 100; share <= 100; ++share) {
      for (const bool gradients : {false, true}) {
        for (const bool parameters : {false, true}) {
          option o;
          o.tiers = base.tiers;
          if (may.optimizer) {
            o.tiers.optimizer = share > 0 ? tier::disk : tier::device;
            o.tiers.optimizer_ratio = share > 0 ? share / 100.0 : 1.0;
          }
          if (parameters && (!may.parameters || share < 100)) continue;
          if (gradients && (!may.gradients || share < 100)) continue;
          // All of the optimizer takes gradients along, and parameters leave last.
          if (!gradients && may.gradients && (share == 100 && (may.optimizer || parameters))) {
            continue;
          }
          if (may.gradients) o.tiers.gradients = gradients ? tier::disk : tier::device;
          if (parameters) o.tiers.parameters = tier::disk;
          if (s > 0 && !o.tiers.any()) continue;
          std::tie(o.tiers.cell_elements, o.tiers.depth, o.tiers.bounces) = shapes[s];
          o.at = {static_cast<int>(s), share, gradients ? 1 : 0, parameters ? 1 : 0};
          plan_options with = base;
          with.tiers = o.tiers;
          o.bytes = memory_plan(of, with).peak();
          all.push_back(o);
        }
      }
    }
  }
  std::sort(all.begin(), all.end(), [](const option& a, const option& b) { return a.at < b.at; });
  return all;
}

tier gradients_of(const tiering& tiers) {
  return gradient_tier(tiers, resolved(policy_of_name("3"), 2));
}

void expect_the_first_that_fits(const layout& of, const plan_options& base, const free_tiers& may,
                                std::size_t kinds = 3) {
  const std::vector<option> all = all_options(of, base, may);
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t most = 0;
  for (const option& o : all) {
    least = std::min(least, o.bytes);
    most = std::max(most, o.bytes);
  }
  std::map<standing, int> chosen;
  for (std::uint64_t budget = most + 1; budget + 1 >= least; budget -= (most - least) / 40 + 1) {
    SCOPED_TRACE(budget);
    const fitted found = fit(of, base, budget, may);
    const auto first =
        std::find_if(all.begin(), all.end(), [&](const option& o) { return o.bytes <= budget; });
    ASSERT_EQ(found.fits, first != all.end());
    if (!found.fits) {
      EXPECT_EQ(found.bytes, least);
      break;
    }
    ++chosen[first->at];
    EXPECT_EQ(found.bytes, first->bytes);
    EXPECT_EQ(found.tiers.optimizer, first->tiers.optimizer);
    EXPECT_EQ(found.tiers.parameters, first->tiers.parameters);
    EXPECT_EQ(gradients_of(found.tiers), gradients_of(first->tiers));
    if (found.tiers.optimizer != tier::device) {
      EXPECT_DOUBLE_EQ(found.tiers.optimizer_ratio, first->tiers.optimizer_ratio);
    }
    if (found.tiers.any()) {
      EXPECT_EQ(std::tie(found.tiers.cell_elements, found.tiers.depth, found.tiers.bounces),
                std::tie(first->tiers.cell_elements, first->tiers.depth, first->tiers.bounces));
    }
  }
  EXPECT_GE(chosen.size(), kinds);
  // The smallest budget that would do does, and no smaller one.
  EXPECT_TRUE(fit(of, base, least, may).fits);
  const fitted refused = fit(of, base, least - 1, may);
  EXPECT_FALSE(refused.fits);
  EXPECT_EQ(refused.bytes, least);
}

// Large enough that offload takes less than what it needs itself.
layout deep(dtype type, int world) {
  model_spec model;
  for (int i = 0; i < 8; ++i) {
    parameter_spec p;
    p.name = std::string("w") + static_cast<char>('0' + i);
    p.shape = {3000001};
    p.type = type;
    model.units.push_back({std::string("u") + static_cast<char>('0' + i), {p}});
  }
  layout_options how;
  how.world_size = world;
  return {model, how};
}

TEST(fit, chooses_the_first_of_all_that_fit) {
  for (const int world : {1, 2}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      SCOPED_TRACE(std::to_string(world) + (type == dtype::fp32 ? " fp32" : " bf16"));
      plan_options base;
      base.policy = policy_of_name("3");
      expect_the_first_that_fits(deep(type, world), base, {true, true, true, true});
    }
  }
}

TEST(fit, keeps_what_was_chosen) {
  const layout of = deep(dtype::bf16, 2);
  plan_options base;
  base.policy = policy_of_name("3");
  base.tiers.parameters = tier::disk;
  expect_the_first_that_fits(of, base, {true, true, true, false});
  base.tiers.gradients = tier::device;
  expect_the_first_that_fits(of, base, {true, true, false, false});
  base.tiers.gradients.reset();
  base.tiers.optimizer = tier::disk;
  expect_the_first_that_fits(of, base, {});
  base.tiers.optimizer_ratio = 0.5;
  for (const std::uint64_t budget : {std::uint64_t{1} << 40U, std::uint64_t{45} << 20U}) {
    const fitted found = fit(of, base, budget, {false, false, true, false});
    EXPECT_EQ(found.tiers.optimizer, tier::disk);
    EXPECT_EQ(found.tiers.optimizer_ratio, 0.5);
    EXPECT_EQ(found.tiers.parameters, tier::disk);
  }
  // The ratio alone: all or nothing of what goes down.
  base.tiers.optimizer = tier::device;
  const std::uint64_t nothing = fit(of, base, ~std::uint64_t{0}, {true, false, true, false}).bytes;
  const fitted half = fit(of, base, nothing - 1, {true, false, true, false});
  EXPECT_TRUE(half.fits);
  EXPECT_EQ(half.tiers.optimizer, tier::disk);
  EXPECT_EQ(half.tiers.optimizer_ratio, 0.5);
}

// Of a model so small that what tiers need themselves is most of it, on the host and apart from it.
TEST(fit, of_small_models_is_no_other) {
  for (const int world : {1, 2, 3}) {
    for (const bool apart : {false, true}) {
      for (const std::uint64_t elements : {20011U, 70001U, 300007U}) {
        parameter_spec p;
        p.name = "w";
        p.shape = {elements};
        layout_options how;
        how.world_size = world;
        const layout of({{{"u", {p}}}}, how);
        plan_options base;
        base.policy = policy_of_name("3");
        base.apart_from_host = apart;
        expect_the_first_that_fits(of, base, {true, true, true, true}, 1);
      }
    }
  }
}

// Host memory counts against the budget like the device's.
TEST(fit, what_rests_on_the_host_stays_there_and_counts) {
  const layout of = deep(dtype::fp32, 2);
  plan_options base;
  base.policy = policy_of_name("3");
  base.tiers.optimizer = tier::host;
  base.tiers.gradients = tier::host;
  base.tiers.parameters = tier::host;
  const fitted found = fit(of, base, ~std::uint64_t{0}, {});
  EXPECT_TRUE(found.fits);
  EXPECT_EQ(found.tiers.optimizer, tier::host);
  EXPECT_GT(found.bytes, std::uint64_t{12000000} * 4 * 3);
  EXPECT_FALSE(fit(of, base, std::uint64_t{12000000} * 4 * 3, {}).fits);
  // Gradients that follow may leave the host for the disk.
  base.tiers.gradients.reset();
  const fitted moved =
      fit(of, base, found.bytes - (std::uint64_t{30} << 20U), {false, false, true, false});
  EXPECT_TRUE(moved.fits);
  EXPECT_EQ(moved.tiers.gradients, tier::disk);
}

TEST(fit, never_offloads_what_the_policy_keeps) {
  for (const char* row : {"0", "1", "2"}) {
    const layout of = deep(dtype::bf16, 2);
    plan_options base;
    base.policy = policy_of_name(row);
    const fitted found = fit(of, base, 0, {true, true, true, true});
    EXPECT_FALSE(found.fits);
    EXPECT_EQ(found.tiers.parameters, tier::device);
    EXPECT_EQ(found.tiers.optimizer, tier::disk);
    plan_options with = base;
    with.tiers = found.tiers;
    EXPECT_EQ(memory_plan(of, with).peak(), found.bytes);
  }
}

TEST(fit, shrinks_nothing_that_is_smaller_already_and_refuses_what_plans_refuse) {
  const layout of = deep(dtype::bf16, 2);
  plan_options base;
  base.policy = policy_of_name("3");
  base.tiers.optimizer = tier::disk;
  base.tiers.cell_elements = 4096;
  base.tiers.depth = 2;
  base.tiers.bounces = 2;
  const fitted found = fit(of, base, 0, {});
  EXPECT_EQ(found.tiers.cell_elements, 4096U);
  EXPECT_EQ(found.tiers.depth, 2);
  EXPECT_EQ(found.tiers.bounces, 2);
  base.policy = policy_of_name("2");
  base.tiers.parameters = tier::disk;
  EXPECT_THROW((void)fit(of, base, 0, {}), invalid_argument);
}

}  // namespace
}  // namespace zero::partition::testing
