// Parameters gathered in codes: all ranks see the same values, near those that rest, at every
// prefetch depth and addressing and however they are sharded.

#include "engine/quantized_runs.hpp"

#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

class coded_gathers : public ::testing::TestWithParam<shape> {};
INSTANTIATE_TEST_SUITE_P(quantized, coded_gathers, ::testing::ValuesIn(quantized_shapes));

float load(const_typed_span values, std::uint64_t i) {
  if (values.type == dtype::bf16) return to_float(static_cast<const bf16_t*>(values.data)[i]);
  if (values.type == dtype::fp16) return to_float(static_cast<const fp16_t*>(values.data)[i]);
  return static_cast<const float*>(values.data)[i];
}

// What one rank sees of every parameter when it gathers unit by unit.
std::vector<std::vector<float>> seen_by(sharded_optimizer& optimizer) {
  std::vector<std::vector<float>> seen;
  optimizer.begin_micro_batch(pass::evaluate);
  for (std::size_t unit = 0; unit < optimizer.layout().model().units.size(); ++unit) {
    const gathered_unit held = optimizer.gather(static_cast<int>(unit));
    const std::size_t count = optimizer.layout().model().units[unit].parameters.size();
    for (std::size_t i = 0; i < count; ++i) {
      const const_typed_span values = held.parameter(i);
      std::vector<float>& copy = seen.emplace_back();
      for (std::uint64_t e = 0; e < values.count; ++e) copy.push_back(load(values, e));
    }
  }
  return seen;
}

// Half a scale, at most, of the block an element lies in, and a rounding to its dtype; and what
// rests is what it was.
TEST(quantized_gather, shows_all_ranks_the_same_values_within_half_a_scale) {
  for (const dtype type : quantized_dtypes) {
    std::vector<std::vector<std::vector<float>>> seen(3);
    run_ranks(3, [&](collectives::communicator& ranks) {
      engine_options options = base_run(3, type).options;
      options.quantized_gather = 8;
      sharded_optimizer optimizer(ranks, toy_model(type), options);
      optimizer.initialize([](std::size_t parameter, std::uint64_t offset, span<float> values) {
        for (std::size_t i = 0; i < values.size(); ++i)
          values[i] = toy_value(parameter, offset + i);
      });
      const auto own = seen_by(optimizer);
      seen[static_cast<std::size_t>(ranks.rank())] = own;
      EXPECT_EQ(seen_by(optimizer), own) << "a second time";
      const full_parameters_region whole = optimizer.full_parameters();
      const auto places = optimizer.layout().parameters();
      std::size_t changed = 0;
      for (const partition::placement& p : places) {
        const const_typed_span exact = whole.parameter(p.index);
        for (std::uint64_t e = 0; e < p.count; ++e) {
          double largest = 0;  // of the elements of its block
          for (const partition::placement& other : places) {
            if (other.bucket != p.bucket || other.storage != other.index) continue;
            const std::uint64_t begin = (p.offset + e) / 128 * 128;
            const std::uint64_t from = std::max(begin, other.offset);
            const std::uint64_t to = std::min(begin + 128, other.offset + other.count);
            const const_typed_span values = whole.parameter(other.index);
            for (std::uint64_t i = from; i < to; ++i) {
              largest = std::max(largest, std::fabs(double{load(values, i - other.offset)}));
            }
          }
          const double rest = load(exact, e);
          const double rounding = type == dtype::bf16 ? 0x1p-8 : type == dtype::fp16 ? 0x1p-11 : 0;
          const double bound = largest / 254 * (1 + 0x1p-14) + std::fabs(rest) * 1.01 * rounding;
          ASSERT_NEAR(double{own[p.index][e]}, rest, bound) << name_of(type) << " " << p.index;
          changed += own[p.index][e] != load(exact, e) ? 1 : 0;
        }
      }
      EXPECT_GT(changed, 0U) << "not gathered in codes";
    });
    EXPECT_EQ(seen[1], seen[0]);
    EXPECT_EQ(seen[2], seen[0]);
  }
}

TEST_P(coded_gathers, gathers_in_codes_have_the_same_bits_at_every_prefetch_and_addressing) {
  const int world = GetParam().world;
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    toy_run run = base_run(3, type);
    run.options.quantized_gather = 8;
    const toy_result first = train_and_check(world, run);
    for (const int prefetch : {0, 2, 9}) {
      for (const addressing how : {addressing::slots, addressing::stable}) {
        run.options.prefetch = prefetch;
        run.options.addressing = how;
        run.evaluate_between = prefetch == 2;
        SCOPED_TRACE(prefetch);
        expect_same(train_and_check(world, run), first);
      }
    }
    const toy_result plain = train_and_check(world, base_run(3, type));
    EXPECT_EQ(to_hex(plain.digest) == to_hex(first.digest), world == 1);
  }
}

// What is gathered again within a group is what was gathered first.
TEST(quantized_gather, has_the_same_bits_with_secondary_parameters_and_in_groups) {
  for (const dtype type : quantized_dtypes) {
    toy_run run = base_run(3, type);
    run.options.quantized_gather = 8;
    run.micro_batches = run.options.accumulate = 2;
    const toy_result flat = train_and_check(4, run);
    for (const char* name : {"hpz", "hybrid", "hybrid1"}) {
      for (const int size : {2, 4}) {
        SCOPED_TRACE(name);
        run.options.policy = partition::policy_of_name(name, size);
        expect_same(train_and_check(4, run), flat);
      }
    }
  }
}

TEST(quantized_gather, leaves_alone_what_is_not_gathered) {
  for (int stage = 0; stage <= 2; ++stage) {
    toy_run run = base_run(stage);
    const toy_result plain = train_and_check(3, run);
    run.options.quantized_gather = 8;
    const toy_result coded = train_and_check(3, run);
    expect_same(coded, plain);
    EXPECT_EQ(coded.memory.measured, plain.memory.measured);
  }
}

TEST(quantized, both_together_work_at_every_stage) {
  for (const dtype type : quantized_dtypes) {
    toy_run run = reduced_in(4, 2, 3, type);
    run.options.quantized_gather = 8;
    run.options.addressing = addressing::stable;
    run.options.resident_bytes = 256;
    const toy_result first = train_and_check(6, run);
    run.options.addressing = addressing::slots;
    run.options.prefetch = 3;
    expect_same(train_and_check(6, run), first);
  }
}

}  // namespace
}  // namespace zero::testing
