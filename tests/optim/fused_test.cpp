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

// The addend near the product, so that every bit and every tie of the rounding is met.
TEST(fused, near_cancellation_and_ties) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 2000000; ++i) {
    const float a =
        std::ldexp(static_cast<float>(random() % 4096 + 1), -static_cast<int>(random() % 80));
    const float b =
        std::ldexp(static_cast<float>(random() % 16777216), -static_cast<int>(random() % 80));
    const int shift = static_cast<int>(random() % 64) - 32;
    const float c = std::ldexp(-a * b, shift % 3) + std::ldexp(a * b, shift);
    expect_fused(a, b, c);
    expect_fused(-a, b, c);
  }
}

}  // namespace
}  // namespace zero::testing
