// What codes of a few bits add to slots and buffers, and what they leave of the traffic.

#include <zero/base/error.hpp>
#include <zero/base/quantized.hpp>
#include <zero/partition/communication_plan.hpp>

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace zero::partition {
namespace {

constexpr std::uint64_t large = 128 * 12 * 5;  // elements; cut evenly by 1, 2, 3, 4, 6
constexpr std::uint64_t small = 100;

// Two units; the second has a frozen parameter too.
model_spec sample(dtype type) {
  const auto parameter = [type](const char* name, std::uint64_t count, bool trainable) {
    parameter_spec p;
    p.name = name;
    p.shape = {count};
    p.type = type;
    p.trainable = trainable;
    return p;
  };
  return {{{"first", {parameter("large", large, true)}},
           {"second", {parameter("small", small, true), parameter("frozen", large, false)}}}};
}

layout laid_out(int world, dtype type = dtype::bf16, std::uint64_t resident = 0) {
  layout_options how;
  how.world_size = world;
  how.resident_bytes = resident;
  return {sample(type), how};
}

plan_options coded(const std::string& row, int gather, int reduce, int node_ranks = 0) {
  plan_options options;
  options.policy = policy_of_name(row, 2);
  options.prefetch = 0;
  options.quantized_gather = gather;
  options.quantized_reduce = reduce;
  options.node_ranks = node_ranks;
  return options;
}

std::map<purpose, std::vector<std::uint64_t>> by_purpose(const memory_plan& plan) {
  std::map<purpose, std::vector<std::uint64_t>> bytes;
  for (const allocation& a : plan.allocations()) {
    bytes[a.what].push_back(a.payload + a.padding);
    if (a.what == purpose::reduction_codes) {
      EXPECT_EQ(a.account, memory_account::buffers);
    }
  }
  return bytes;
}

TEST(codes_plan, a_slot_grows_by_the_codes_of_what_is_gathered) {
  const layout of = laid_out(4);
  const memory_plan plain(of, coded("3", 0, 0));
  const memory_plan with(of, coded("3", 8, 0));
  const std::uint64_t padded = 512;  // of the 100, over 4 ranks
  EXPECT_EQ(plain.parameter_bytes()[0], 2 * large);
  EXPECT_EQ(with.parameter_bytes()[0], 2 * large + (large + large / 32 + 63) / 64 * 64);
  EXPECT_EQ(plain.parameter_bytes()[1], 2 * padded + 2 * large);
  // 512 codes with 4 scales are 528 bytes, up to 576.
  EXPECT_EQ(with.parameter_bytes()[1],
            2 * padded + 576 + 2 * large + (large + large / 32 + 63) / 64 * 64);
  EXPECT_EQ(with.gradient_bytes()[0], plain.gradient_bytes()[0]);
  for (const bucket_plan& b : with.buckets()) {
    EXPECT_EQ(b.gather_bits, 8);
    EXPECT_EQ(b.reduce_bits, 0);
    EXPECT_EQ(b.parameter_codes_offset % 4, 0U);
    EXPECT_GT(b.parameter_codes_offset, b.parameter_slot_offset);
  }
  EXPECT_EQ(with.buckets()[0].parameter_codes_offset, 2 * large);
}

TEST(codes_plan, slots_with_codes_are_whole_pages_where_they_are_mapped) {
  plan_options options = coded("3", 8, 0);
  options.page_bytes = 4096;
  const layout of = laid_out(4);
  const memory_plan plan(of, options);
  for (const std::uint64_t bytes : plan.parameter_bytes()) {
    EXPECT_EQ(bytes % 4096, 0U);
  }
}

TEST(codes_plan, what_is_whole_everywhere_has_no_codes) {
  for (const char* row : {"0", "1", "2"}) {
    const layout of = laid_out(4);
    const memory_plan plain(of, coded(row, 0, 0));
    const memory_plan with(of, coded(row, 8, 0));
    EXPECT_EQ(with.bytes(), plain.bytes());
    for (const bucket_plan& b : with.buckets()) EXPECT_EQ(b.gather_bits, 0);
  }
  const memory_plan resident(laid_out(4, dtype::bf16, 200), coded("3", 8, 0));
  int coded_buckets = 0;
  for (const bucket_plan& b : resident.buckets()) coded_buckets += b.gather_bits > 0 ? 1 : 0;
  EXPECT_EQ(coded_buckets, 2);  // all but the small one
  const memory_plan alone(laid_out(1), coded("3", 8, 4));
  for (const bucket_plan& b : alone.buckets()) EXPECT_EQ(b.gather_bits + b.reduce_bits, 0);
  EXPECT_EQ(alone.bytes(), memory_plan(laid_out(1), coded("3", 0, 0)).bytes());
}

// Two reductions under way, each with codes sent and received, of the largest trainable bucket.
TEST(codes_plan, reductions_have_codes_of_their_own_in_place_of_staging) {
  for (const char* row : {"0", "1", "2", "3", "hybrid"}) {
    for (const int bits : {4, 8}) {
      const layout of = laid_out(4);
      auto bytes = by_purpose(memory_plan(of, coded(row, 0, bits)));
      const std::uint64_t codes =
          (large * static_cast<std::uint64_t>(bits) / 8 + large / 32 + 63) / 64 * 64;
      EXPECT_EQ(bytes[purpose::reduction_codes], (std::vector<std::uint64_t>{2 * codes, 2 * codes}))
          << row;
      EXPECT_EQ(bytes.count(purpose::reduced_staging), 0U);
      EXPECT_EQ(by_purpose(memory_plan(of, coded(row, 0, 0))).count(purpose::reduction_codes), 0U);
    }
  }
}

std::map<std::string, std::uint64_t> traffic(const std::string& row, int world,
                                             const plan_options& options) {
  const layout of = laid_out(world);
  const memory_plan plan(of, options);
  std::map<std::string, std::uint64_t> sums;
  const communication_plan all = plan_communication(of, plan, options.reductions);
  for (const planned_operation& o : all.operations) {
    const char* among[] = {"nobody", "world", "within", "across"};
    EXPECT_EQ(o.bytes() % static_cast<std::uint64_t>(o.ranks), 0U) << row;
    sums[name_of(o.what) + std::string(" ") + among[static_cast<int>(o.among)]] +=
        o.times * o.bytes();
  }
  const communication_volume volume = all.step();
  std::uint64_t to_all = 0;
  for (const auto& [use, bytes] : sums) {
    if (use.rfind("reduce", 0) == 0 && options.quantized_reduce > 0) to_all += bytes;
  }
  EXPECT_EQ(volume.all_to_all, to_all);
  EXPECT_EQ(volume.reduce_scatter > 0, options.quantized_reduce == 0);
  return sums;
}
using volumes = std::map<std::string, std::uint64_t>;

TEST(codes_plan, traffic_is_that_of_codes_and_scales) {
  const std::uint64_t four = (large + 512) / 2 + (large + 512) / 32;  // bytes in 4 bits
  const std::uint64_t eight = large + 512 + (large + 512) / 32;
  EXPECT_EQ(
      traffic("2", 4, coded("2", 0, 4)),
      (volumes{{"reduce world", four}, {"publish world", 2 * (large + 512)}, {"vote world", 96}}));
  EXPECT_EQ(traffic("2", 4, coded("2", 0, 8, 4)).at("reduce world"), eight);
  // Within nodes all of it, then what is left of it after a sum of two.
  const volumes levels = traffic("1", 4, coded("1", 8, 4, 2));
  EXPECT_EQ(levels.at("reduce within"), four);
  EXPECT_EQ(levels.at("reduce_on across"), four / 2);
  EXPECT_EQ(levels.count("reduce world"), 0U);
  // The first unit twice, the second, used last in the forward, once.
  const std::uint64_t gathered = 3 * (large + large / 32) + 512 + 512 / 32;
  EXPECT_EQ(traffic("3", 4, coded("3", 8, 0)).at("gather world"), gathered);
  const volumes hybrid = traffic("hybrid", 4, coded("hybrid", 8, 4));
  EXPECT_EQ(hybrid.at("gather within"), gathered);
  EXPECT_EQ(hybrid.at("reduce within"), four);
  EXPECT_EQ(hybrid.at("reduce_on across"), four / 2);
  // Again from secondary parameters as they are.
  const volumes hpz = traffic("hpz", 4, coded("hpz", 8, 4));
  EXPECT_EQ(hpz.at("gather world"), 2 * (large + large / 32) + 512 + 512 / 32);
  EXPECT_EQ(hpz.at("gather_again within"), 2 * large);
}

TEST(codes_plan, the_groups_of_a_policy_come_before_nodes) {
  const layout of = laid_out(6);
  EXPECT_EQ(memory_plan(of, coded("hybrid", 0, 4, 3)).groups().group_size(), 2);
  EXPECT_EQ(memory_plan(of, coded("3", 0, 4, 3)).groups().group_size(), 3);
  EXPECT_EQ(memory_plan(of, coded("3", 0, 0, 3)).groups().group_size(), 1);
  EXPECT_TRUE(memory_plan(of, coded("3", 0, 4, 3)).reduces_in_levels());
  EXPECT_FALSE(memory_plan(of, coded("3", 0, 4, 6)).reduces_in_levels());
  EXPECT_FALSE(memory_plan(of, coded("3", 0, 4, 1)).reduces_in_levels());
  EXPECT_FALSE(memory_plan(of, coded("3", 0, 4)).reduces_in_levels());
  EXPECT_FALSE(memory_plan(of, coded("hybrid", 0, 0)).reduces_in_levels());
  for (int rank = 0; rank < 6; ++rank) {  // who owns what is not a matter of nodes
    EXPECT_EQ(memory_plan(of, coded("3", 0, 4, 3)).groups().piece_of(rank), rank);
  }
}

TEST(codes_plan, refuses_what_cannot_be) {
  const auto refused = [](const layout& of, const plan_options& options) {
    EXPECT_THROW(memory_plan(of, options), invalid_argument);
  };
  const layout of = laid_out(4);
  for (const int bits : {-8, 1, 4, 16}) refused(of, coded("3", bits, 0));
  for (const int bits : {-4, 1, 2, 16}) refused(of, coded("3", 0, bits));
  for (const int ranks : {-1, 3, 5, 8}) refused(of, coded("3", 0, 4, ranks));
  layout_options fine;
  fine.world_size = 4;
  fine.alignment = 64;
  const layout cut(sample(dtype::bf16), fine);
  EXPECT_NO_THROW(memory_plan(cut, coded("3", 0, 0)));
  refused(cut, coded("3", 8, 0));
  refused(cut, coded("3", 0, 4));
}

}  // namespace
}  // namespace zero::partition
