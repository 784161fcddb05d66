// States out of their formats and back: what was unpacked is packed again without loss.
#include "packed_element.hpp"

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>
#include <zero/optim/packed.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace zero::testing {
namespace {

using optim::algorithm;
using optim::format_block;
using optim::state_format;

std::vector<float> unpacked(state_format f, int number, const std::vector<std::byte>& array,
                            std::size_t count) {
  std::vector<float> values(count);
  optim::unpack_state(f, algorithm::adamw, number, array.data(), {values.data(), count});
  return values;
}

std::vector<std::byte> packed(state_format f, int number, const std::vector<float>& values) {
  std::vector<std::byte> array(values.size() / format_block * optim::block_bytes(f));
  optim::pack_state(f, algorithm::adamw, number, {values.data(), values.size()}, array.data());
  return array;
}

float unit_of(const std::vector<std::byte>& block) {
  float unit;
  std::memcpy(&unit, block.data() + format_block, sizeof unit);
  return unit;
}

// Blocks of every largest code that an update leaves, under units from the least to the most.
TEST(packed_states, blocks_of_codes_keep_every_value) {
  std::mt19937 random(7);
  int halved = 0;
  int blocks = 0;
  for (const int number : {0, 1}) {
    const std::uint32_t most = number == 0 ? 127 : 255;
    const int lowest = number == 0 ? -94 : -110;
    for (std::uint32_t largest = most - 8; largest <= most; ++largest) {
      for (int exponent = lowest; exponent <= 110 - (number == 0 ? 0 : 16); exponent += 3) {
        std::vector<std::byte> block(format_block + sizeof(float));
        for (std::size_t i = 0; i < format_block; ++i) {
          std::uint32_t code = static_cast<std::uint32_t>(random()) % (largest + 1);
          if (i == 5) code = largest;
          if (number == 0 && random() % 2 == 0) code |= 0x80U;
          block[i] = static_cast<std::byte>(code);
        }
        const float unit = std::ldexp(1.0F, exponent);
        std::memcpy(block.data() + format_block, &unit, sizeof unit);
        const std::vector<float> values =
            unpacked(state_format::block8, number, block, format_block);
        const std::vector<std::byte> again = packed(state_format::block8, number, values);
        const std::vector<float> same = unpacked(state_format::block8, number, again, format_block);
        ASSERT_EQ(std::memcmp(same.data(), values.data(), values.size() * sizeof(float)), 0)
            << "state " << number << ", largest code " << largest << ", unit 2^" << exponent;
        ++blocks;
        // Of a largest that fills the upper binade the unit is as it was, and so is every byte.
        if (largest > most - 8) {
          ASSERT_EQ(again, block);
          continue;
        }
        // Rounded down to just below it; of the least unit nothing can be halved.
        ASSERT_EQ(unit_of(again), exponent == lowest ? unit : unit / 2);
        if (again != block) ++halved;
      }
    }
  }
  EXPECT_GT(blocks, 1000);
  EXPECT_GT(halved, 10);
}

TEST(packed_states, zeros_and_blocks_that_are_not_finite_stay_so) {
  for (const int number : {0, 1}) {
    std::vector<float> values(format_block, 0.0F);
    EXPECT_EQ(unpacked(state_format::block8, number, packed(state_format::block8, number, values),
                       format_block),
              values);
    values[3] = INFINITY;
    const std::vector<float> bad = unpacked(
        state_format::block8, number, packed(state_format::block8, number, values), format_block);
    for (const float v : bad) EXPECT_TRUE(std::isnan(v));
  }
}

// Others become the nearest.
TEST(packed_states, what_does_not_fit_is_rounded_to_nearest) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<float> values(4 * format_block);
  for (float& v : values) v = normal(random);
  const std::vector<float> narrow =
      unpacked(state_format::bf16, 0, packed(state_format::bf16, 0, values), values.size());
  const std::vector<float> coded =
      unpacked(state_format::block8, 0, packed(state_format::block8, 0, values), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(narrow[i], to_float(to_bf16(values[i])));
    EXPECT_NEAR(coded[i], values[i], std::fabs(values[i]) / 16 + 1e-4F);
  }
  EXPECT_EQ(unpacked(state_format::bf16, 0, packed(state_format::bf16, 0, narrow), narrow.size()),
            narrow);
  EXPECT_EQ(unpacked(state_format::fp32, 0, packed(state_format::fp32, 0, values), values.size()),
            values);
}

TEST(packed_states, are_whole_blocks) {
  std::vector<float> values(100);
  std::vector<std::byte> array(512);
  EXPECT_THROW(optim::unpack_state(state_format::fp32, algorithm::adamw, 0, array.data(),
                                   {values.data(), values.size()}),
               invalid_argument);
  EXPECT_THROW(optim::pack_state(state_format::block8, algorithm::adamw, 0,
                                 {values.data(), values.size()}, array.data()),
               invalid_argument);
}

}  // namespace
}  // namespace zero::testing
