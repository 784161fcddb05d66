#include "trainer/initial_values.hpp"

#include "trainer/counter_random.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace zero::trainer {
namespace {

std::vector<float> whole(parameter_source& source, const std::string& name, std::size_t count) {
  std::vector<float> values(count);
  source.read(name, 0, values);
  return values;
}

double deviation(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += double{v} * double{v};
  return std::sqrt(sum / static_cast<double>(values.size()));
}

TEST(initial_values, any_slice_is_a_piece_of_the_whole) {
  initial_values source(find_gpt("gpt-4m-odd"), 7);
  const std::size_t count = 255 * 1020;
  const auto all = whole(source, "h.2.mlp.c_fc.weight", count);
  for (const std::size_t offset : {0u, 1u, 2u, 255u, 511u, 512u, 513u, 260099u, 260100u}) {
    for (const std::size_t length : {0u, 1u, 2u, 3u, 511u, 1025u}) {
      if (offset + length > count) continue;
      std::vector<float> slice(length);
      source.read("h.2.mlp.c_fc.weight", offset, slice);
      EXPECT_TRUE(std::equal(slice.begin(), slice.end(), all.begin() + std::ptrdiff_t(offset)))
          << offset << " " << length;
    }
  }
}

TEST(initial_values, scales_are_those_of_gpt2) {
  const gpt_config config = find_gpt("gpt-3m");  // 4 layers
  initial_values source(config, 1);
  const double residual = 0.02 / std::sqrt(8.0);
  EXPECT_NEAR(deviation(whole(source, "wte.weight", 65536)), 0.02, 0.02 * 0.01);
  EXPECT_NEAR(deviation(whole(source, "wpe.weight", 16384)), 0.02, 0.02 * 0.02);
  EXPECT_NEAR(deviation(whole(source, "h.0.attn.c_attn.weight", 196608)), 0.02, 0.02 * 0.006);
  EXPECT_NEAR(deviation(whole(source, "h.3.mlp.c_fc.weight", 262144)), 0.02, 0.02 * 0.006);
  EXPECT_NEAR(deviation(whole(source, "h.0.attn.c_proj.weight", 65536)), residual, residual * 0.01);
  EXPECT_NEAR(deviation(whole(source, "h.3.mlp.c_proj.weight", 262144)), residual,
              residual * 0.006);
  for (const char* name : {"h.0.ln_1.weight", "h.3.ln_2.weight", "ln_f.weight"}) {
    EXPECT_EQ(whole(source, name, 256), std::vector<float>(256, 1.0f)) << name;
  }
  for (const char* name : {"h.0.ln_1.bias", "h.1.attn.c_proj.bias", "ln_f.bias"}) {
    EXPECT_EQ(whole(source, name, 256), std::vector<float>(256, 0.0f)) << name;
  }
}

TEST(initial_values, numbers_are_normal) {
  std::vector<float> z(1 << 20);
  normal_values(random_key(3, "normal"), 0, z);
  const auto n = static_cast<double>(z.size());
  double moment[5] = {};
  for (const float v : z) {
    for (int k = 1; k <= 4; ++k) moment[k] += std::pow(double{v}, k) / n;
  }
  // Five standard errors of each moment: sqrt(1/n), sqrt(2/n), sqrt(15/n), sqrt(96/n).
  EXPECT_NEAR(moment[1], 0, 5 * std::sqrt(1 / n));
  EXPECT_NEAR(moment[2], 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(moment[3], 0, 5 * std::sqrt(15 / n));
  EXPECT_NEAR(moment[4], 3, 5 * std::sqrt(96 / n));
  // Kolmogorov and Smirnov's distance to the normal distribution; 1.95 / sqrt(n) is 1 in 1000.
  std::sort(z.begin(), z.end());
  double distance = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double expected = 0.5 * std::erfc(-double{z[i]} / std::sqrt(2.0));
    distance = std::max(distance, std::abs(expected - (static_cast<double>(i) + 0.5) / n));
  }
  EXPECT_LT(distance, 1.95 / std::sqrt(n));
  // The two halves of a pair, and neighbours, do not know each other.
  normal_values(random_key(3, "normal"), 0, z);
  for (const std::size_t lag : {1u, 2u, 256u, 512u}) {
    double product = 0;
    for (std::size_t i = 0; i + lag < z.size(); ++i) product += double{z[i]} * double{z[i + lag]};
    EXPECT_NEAR(product / n, 0, 5 / std::sqrt(n)) << lag;
  }
}

// Frozen: a change of these numbers changes every run that anyone wants to repeat.
TEST(initial_values, follow_box_and_muller_exactly) {
  const std::uint64_t key = random_key(42, "wte.weight");
  std::vector<float> z(1000);
  normal_values(key, 0, z);
  for (std::size_t i = 0; i < z.size(); i += 2) {
    const std::uint64_t bits = random_bits(key, i / 2);
    const double u = (static_cast<double>(bits >> 32) + 0.5) / 4294967296.0;
    const auto low = static_cast<std::uint32_t>(bits);
    const double quarter = low >> 30 & 1 ? 1.0 : 0.0;
    const double half = low >> 31 ? 2.0 : 0.0;
    const double fraction = static_cast<double>(low & 0x3fffffff) / 1073741824.0 - 0.5;
    const double angle = M_PI / 2 * (fraction + quarter + half);
    const double radius = std::sqrt(-2 * std::log(u));
    EXPECT_NEAR(double{z[i]}, radius * std::cos(angle), 1e-6);
    EXPECT_NEAR(double{z[i + 1]}, radius * std::sin(angle), 1e-6);
  }
}

TEST(initial_values, seeds_and_names_give_other_numbers) {
  const gpt_config config = find_gpt("gpt-3m");
  initial_values one(config, 1), same(config, 1), two(config, 2);
  const auto first = whole(one, "h.0.mlp.c_fc.weight", 1000);
  EXPECT_EQ(first, whole(same, "h.0.mlp.c_fc.weight", 1000));
  EXPECT_NE(first, whole(two, "h.0.mlp.c_fc.weight", 1000));
  EXPECT_NE(first, whole(one, "h.1.mlp.c_fc.weight", 1000));
}

TEST(initial_values, refuses_what_is_not_there) {
  initial_values source(find_gpt("gpt-3m"), 1);
  std::vector<float> out(2);
  EXPECT_THROW(source.read("h.4.ln_1.bias", 0, out), invalid_argument);
  EXPECT_THROW(source.read("ln_f.bias", 255, out), invalid_argument);
  EXPECT_THROW(source.read("ln_f.bias", ~std::uint64_t{0}, out), invalid_argument);
  EXPECT_NO_THROW(source.read("ln_f.bias", 254, out));
}

}  // namespace
}  // namespace zero::trainer
