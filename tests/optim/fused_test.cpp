// The fused multiply-add of processors without one against the C library's.
#include "fused.hpp"

#include "elements.hpp"

#include <gtest/gtest.h>

namespace zero::testing {
namespace {

void expect_fused(float a, float b, float c) {
  const float expected = std::fma(a, b, c);
  const float found = optim::detail::fused(a, b, c);
  if (std::isnan(expected) && std::isnan(found)) return;
  ASSERT_EQ(zero::detail::bits_of(found), zero::detail::bits_of(expected))
      << a << " * " << b << " + " << c;
}

TEST(fused, any_bits) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000000; ++i) {
    expect_fused(nasty_value(random), nasty_value(random), nasty_value(random));
  }
}

// The product a little beside half a unit in the last place of the addend, and so little that fp64
// cannot hold the sum: rounding it to nearest first would make it a tie.
TEST(fused, just_beside_a_tie) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200000; ++i) {
    const float addend = 1.0F + static_cast<float>(random() % (1 << 23)) * 0x1p-23F;
    const float beside = static_cast<float>(random() % 64) * 0x1p-23F;
    const float larger = 0x1p-24F * (1.0F + beside);
    expect_fused(larger, 1.0F - beside, addend);  // 2^-24 (1 - beside^2)
    expect_fused(-larger, 1.0F - beside, addend);
    expect_fused(larger, beside - 1.0F, -addend);
    expect_fused(larger, 1.0F + beside, addend);
  }
}

// Sums that cancel, down to the last bit of the product and into the denormals.
TEST(fused, cancellation) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 200000; ++i) {
    const float scale = std::ldexp(1.0F, -static_cast<int>(random() % 75));
    const float a = scale * (1.0F + static_cast<float>(random() % (1 << 23)) * 0x1p-23F);
    const float b = scale * (1.0F + static_cast<float>(random() % (1 << 23)) * 0x1p-23F);
    expect_fused(a, b, -a * b);
    expect_fused(a, -b, std::nextafter(a * b, 1.0F));
  }
}

}  // namespace
}  // namespace zero::testing
