// What plans of what is off the device have beside the bytes, and what they refuse.

#include "tier_choices.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/communication_plan.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

namespace zero::partition::testing {
namespace {

TEST(tier_plan, everything_on_the_device_has_nothing_of_tiers) {
  for (const int world : {1, 2, 3, 7}) {
    for (const char* row : {"0", "1", "2", "3"}) {
      tier_choice c;
      c.row = row;
      c.world = world;
      const layout of = odd_layout(dtype::bf16, world);
      const memory_plan plan(of, c.options());
      for (const allocation& a : plan.allocations()) EXPECT_LT(a.what, purpose::squares);
      std::size_t trainable = 0;
      for (const bucket& b : of.buckets()) trainable += b.trainable ? 1 : 0;
      EXPECT_EQ(plan.cells().size(), trainable);
      c.tiers.optimizer = tier::disk;  // but nothing of it
      c.tiers.optimizer_ratio = 0;
      EXPECT_EQ(memory_plan(of, c.options()).bytes(), plan.bytes());
    }
  }
}

TEST(tier_plan, large_cells_are_cut_in_few) {
  const layout of = odd_layout(dtype::bf16, 3);
  tier_choice c;
  c.world = 3;
  c.type = dtype::bf16;
  c.tiers.optimizer = tier::host;
  const memory_plan plan(of, c.options());
  EXPECT_EQ(plan.cells().size(), 4U);  // all shards fit in one cell
  EXPECT_EQ(plan.host_block().optimizer.bytes, 0U);
  EXPECT_GT(plan.host_block().parameter.bytes, 0U);
}

// Weights that are the parameters and no states: of those nothing can rest below the device.
TEST(tier_plan, what_has_no_arrays_is_not_down) {
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    const layout of = odd_layout(type, 2);
    tier_choice c;
    c.world = 2;
    c.type = type;
    plan_options options = c.options();
    options.policy = policy_of_stage(3);
    options.tiers.optimizer = tier::disk;
    options.tiers.parameters = tier::disk;
    options.optimizer_arrays = {};
    const memory_plan plan(of, options);
    std::uint64_t on_disk = 0;
    for (const cell& k : plan.cells()) {
      const bucket& b = of.buckets()[k.bucket];
      EXPECT_EQ(k.optimizer_record != no_record, k.down);
      EXPECT_EQ(k.down, plan.array_bytes(k) > 0) << k.bucket;
      const bool below = k.parameter_record != no_record;
      if (below) on_disk += (k.count * size_of(b.type) + 4095) / 4096 * 4096;
      if (k.down) on_disk += (k.count * 4 + 4095) / 4096 * 4096;
      if (k.gradient_record != no_record) on_disk += (k.count * 4 + 4095) / 4096 * 4096;
    }
    EXPECT_EQ(plan.bytes()[static_cast<std::size_t>(memory_account::disk)], on_disk);
  }
}

TEST(tier_plan, arrays_of_other_formats_begin_at_cache_lines) {
  const layout of = odd_layout(dtype::bf16, 2);
  tier_choice c;
  c.world = 2;
  c.type = dtype::bf16;
  plan_options options = c.options();
  options.optimizer_arrays = {132, 256};  // a scale beside 8-bit codes; bf16
  options.master_array = 256;
  std::uint64_t total = 0;
  const memory_plan plan(of, options);
  for (const cell& k : plan.cells()) {
    const bool sixteen = of.buckets()[k.bucket].type != dtype::fp32;
    EXPECT_EQ(k.master, sixteen);
    const std::uint64_t blocks = k.count / 128;
    const std::uint64_t master = sixteen ? 256 * blocks : 0;
    EXPECT_EQ(plan.array_offset(k, 0), 0U);
    const std::uint64_t codes = (132 * blocks + 63) / 64 * 64;
    if (sixteen) {
      EXPECT_EQ(plan.array_offset(k, 1), master);
    }
    EXPECT_EQ(plan.array_offset(k, sixteen ? 2 : 1), master + codes);
    EXPECT_EQ(plan.array_bytes(k), master + codes + 256 * blocks);
    total += plan.array_bytes(k);
  }
  EXPECT_EQ(plan.bytes()[static_cast<std::size_t>(memory_account::optimizer)], total);

  // Below the device fp32 parameters have fp32 master weights whatever the others have.
  options.master_array = 0;
  options.tiers.optimizer = tier::host;
  const memory_plan down(of, options);
  for (const cell& k : down.cells()) {
    if (!of.buckets()[k.bucket].trainable) continue;
    const bool sixteen = of.buckets()[k.bucket].type != dtype::fp32;
    EXPECT_TRUE(k.down);
    EXPECT_EQ(k.master, !sixteen);
    const std::uint64_t blocks = k.count / 128;
    EXPECT_EQ(down.array_bytes(k),
              (sixteen ? 0 : 512 * blocks) + (132 * blocks + 63) / 64 * 64 + 256 * blocks);
  }
}

TEST(tier_plan, gradients_that_come_in_codes_are_staged) {
  for (const int reductions : {1, 3}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      tier_choice c;
      c.world = 2;
      c.type = type;
      c.wide = false;
      c.reductions = reductions;
      c.tiers.gradients = tier::disk;
      plan_options options = c.options();
      options.quantized_reduce = 8;
      const layout of = odd_layout(type, 2);
      const memory_plan plan(of, options);
      std::uint64_t largest = 0;
      for (std::size_t i = 0; i < of.buckets().size(); ++i) {
        const bucket& b = of.buckets()[i];
        if (!b.trainable) continue;
        EXPECT_EQ(plan.buckets()[i].reduced, reduced_in::staged);
        EXPECT_EQ(plan.buckets()[i].reduced_type, b.type);
        largest = std::max(largest, b.shard * (reductions > 1 ? 4 : size_of(b.type)));
      }
      EXPECT_EQ((by_place(plan)[{purpose::gradient_staging, 1}].payload), largest);
    }
  }
}

TEST(tier_plan, a_lone_rank_that_fetches_says_nothing_to_anybody) {
  tier_choice c;
  c.tiers.parameters = tier::disk;
  plan_options options = c.options();
  options.quantized_gather = 8;
  options.quantized_reduce = 4;
  const layout of = odd_layout(dtype::fp32, 1);
  const memory_plan plan(of, options);
  int gathered = 0;
  for (const bucket_plan& b : plan.buckets()) {
    EXPECT_EQ(b.gather_bits + b.reduce_bits, 0);
    if (!b.gathered) continue;
    ++gathered;
    EXPECT_EQ(b.parameters, sharded_over::world);
    EXPECT_TRUE(b.optimizer == sharded_over::world || b.update == updated_from::nowhere);
  }
  EXPECT_EQ(gathered, 4);
  EXPECT_TRUE(plan_communication(of, plan, 1).operations.empty());
}

TEST(tier_plan, refuses_what_cannot_be) {
  const layout of = odd_layout(dtype::bf16, 4);
  const auto message = [&](const std::function<void(plan_options&)>& change) -> std::string {
    plan_options options;
    options.policy = policy_of_name("3");
    change(options);
    try {
      const memory_plan plan(of, options);
    } catch (const invalid_argument& why) {
      return why.what();
    }
    return "";
  };
  const auto expect_named = [&](const char* word, auto change) {
    const std::string why = message(change);
    EXPECT_NE(why.find(word), std::string::npos) << why;
    EXPECT_EQ(why.find('\n'), std::string::npos);
  };
  EXPECT_EQ(message([](plan_options& o) { o.tiers.parameters = tier::host; }), "");
  for (const char* row : {"0", "1", "2", "hybrid1"}) {
    expect_named("parameters on disk", [&](plan_options& o) {
      o.policy = policy_of_name(row, 2);
      o.tiers.parameters = tier::disk;
    });
  }
  for (const char* row : {"0", "1", "hybrid"}) {
    expect_named("gradients on host", [&](plan_options& o) {
      o.policy = policy_of_name(row, 2);
      o.tiers.gradients = tier::host;
    });
  }
  for (const double ratio : {-0.1, 1.1, std::nan("")}) {
    expect_named("ratio", [&](plan_options& o) { o.tiers.optimizer_ratio = ratio; });
  }
  for (const std::uint64_t elements :
       {std::uint64_t{0}, std::uint64_t{1024}, std::uint64_t{2049}, std::uint64_t{3 * 2048}}) {
    expect_named("cells of", [&](plan_options& o) { o.tiers.cell_elements = elements; });
  }
  expect_named("under way", [](plan_options& o) { o.tiers.depth = 1; });
  expect_named("bounces", [](plan_options& o) { o.tiers.bounces = 1; });

  layout_options fine;
  fine.alignment = 64;
  const layout narrow(odd_model(dtype::fp32), fine);
  plan_options options;
  EXPECT_NO_THROW(memory_plan(narrow, options));
  options.tiers.optimizer = tier::host;
  EXPECT_THROW(memory_plan(narrow, options), invalid_argument);
}

TEST(tiering, names_and_alignments) {
  EXPECT_STREQ(name_of(tier::device), "device");
  EXPECT_STREQ(name_of(tier::host), "host");
  EXPECT_STREQ(name_of(tier::disk), "disk");
  EXPECT_EQ(tier_alignment(tier::device), 1U);
  EXPECT_EQ(tier_alignment(tier::host), 64U);
  EXPECT_EQ(tier_alignment(tier::disk), 4096U);
}

}  // namespace
}  // namespace zero::partition::testing
