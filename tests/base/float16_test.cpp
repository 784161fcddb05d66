// bf16 and fp16 against an oracle in double precision that knows the formats by their numbers
// alone: precision, smallest exponent, largest value.
#include <zero/base/dtype.hpp>
#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

namespace zero::testing {
namespace {

struct format {
  int stored_bits;   // of the mantissa
  int min_exponent;  // of the smallest normal number, 2^min_exponent
  int max_exponent;  // of the largest binade
};
constexpr format bf16_format{7, -126, 127};
constexpr format fp16_format{10, -14, 15};

// The value of a bit pattern, from the definition of IEEE 754 interchange formats.
double decode(const format& f, std::uint16_t bits) {
  const int exponent_field = (bits & 0x7fff) >> f.stored_bits;
  const int mantissa = bits & ((1 << f.stored_bits) - 1);
  const int largest_field = f.max_exponent - f.min_exponent + 2;
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent_field == largest_field) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  if (exponent_field == 0) {
    return sign * std::ldexp(static_cast<double>(mantissa), f.min_exponent - f.stored_bits);
  }
  return sign * std::ldexp(1.0 + std::ldexp(static_cast<double>(mantissa), -f.stored_bits),
                           exponent_field - 1 + f.min_exponent);
}

// The nearest value of the format, ties to even, by scaling and rounding to an integer.
double nearest(const format& f, double value) {
  if (value == 0.0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), f.min_exponent);
  const int scale = f.stored_bits - exponent;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, scale)), -scale);
  if (std::fabs(rounded) >= std::ldexp(1.0, f.max_exponent + 1)) {
    return std::copysign(std::numeric_limits<double>::infinity(), value);
  }
  return rounded;
}

template <typename Narrow>
void expect_rounds(const format& f, float value, Narrow narrow) {
  const auto found = narrow(value);
  if (std::isnan(value)) {
    ASSERT_TRUE(std::isnan(decode(f, found.bits)));
    return;
  }
  const double expected = nearest(f, value);
  const double decoded = decode(f, found.bits);
  ASSERT_EQ(decoded, expected) << value;
  ASSERT_EQ(std::signbit(decoded), std::signbit(value)) << value;
}

template <typename Narrow>
void expect_all_roundings(const format& f, Narrow narrow) {
  // Every finite value, and between it and the next: the tie, and the fp32 numbers around each.
  for (std::uint32_t bits = 0; bits < 0x7fff; ++bits) {
    const double low = decode(f, static_cast<std::uint16_t>(bits));
    const double high = decode(f, static_cast<std::uint16_t>(bits + 1));
    if (!std::isfinite(low)) break;
    const double next = std::isfinite(high) ? high : std::ldexp(1.0, f.max_exponent + 1);
    for (const double value : {low, (low + next) / 2}) {
      const auto middle = static_cast<float>(value);
      for (const float v :
           {middle, std::nextafter(middle, 0.0F), std::nextafter(middle, 3.4e38F)}) {
        expect_rounds(f, v, narrow);
        expect_rounds(f, -v, narrow);
      }
    }
    if (::testing::Test::HasFatalFailure()) return;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 1000000; ++i) {
    expect_rounds(f, detail::float_of(static_cast<std::uint32_t>(random())), narrow);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

template <typename Half>
void expect_all_patterns(const format& f, Half (*narrow)(float)) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const Half half{static_cast<std::uint16_t>(bits)};
    const double expected = decode(f, half.bits);
    const float wide = to_float(half);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide)) << bits;
      // NaN goes round quiet, with its sign and payload.
      const int quiet = bits | (1 << (f.stored_bits - 1));
      ASSERT_EQ(narrow(wide).bits, quiet) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(wide), expected) << bits;
    ASSERT_EQ(std::signbit(wide), (bits & 0x8000) != 0) << bits;
    ASSERT_EQ(narrow(wide).bits, bits);
  }
}

TEST(float16, every_bf16_pattern_widens_exactly_and_comes_back) {
  expect_all_patterns<bf16_t>(bf16_format, to_bf16);
}

TEST(float16, every_fp16_pattern_widens_exactly_and_comes_back) {
  expect_all_patterns<fp16_t>(fp16_format, to_fp16);
}

TEST(float16, bf16_rounds_to_nearest_even) { expect_all_roundings(bf16_format, to_bf16); }

TEST(float16, fp16_rounds_to_nearest_even) { expect_all_roundings(fp16_format, to_fp16); }

TEST(float16, extremes) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(to_bf16(-infinity).bits, 0xff80);
  EXPECT_EQ(to_fp16(65504.0F).bits, 0x7bff);
  EXPECT_EQ(to_fp16(65519.99F).bits, 0x7bff);
  EXPECT_EQ(to_fp16(65520.0F).bits, 0x7c00);
  EXPECT_EQ(to_fp16(-infinity).bits, 0xfc00);
  EXPECT_EQ(to_fp16(0x1p-25F).bits, 0x0000);  // the tie between zero and the smallest
  EXPECT_EQ(to_fp16(0x1.000002p-25F).bits, 0x0001);
  EXPECT_EQ(to_bf16(-0.0F).bits, 0x8000);
  EXPECT_EQ(to_fp16(-0.0F).bits, 0x8000);
  EXPECT_EQ(to_float(1.5F), 1.5F);
}

TEST(float16, a_nan_with_low_payload_does_not_become_infinity) {
  for (const std::uint32_t bits : {0x7f800001u, 0xff800001u, 0x7f80ffffu, 0x7fffffffu}) {
    const float nan = detail::float_of(bits);
    EXPECT_TRUE(std::isnan(to_float(to_bf16(nan)))) << bits;
    EXPECT_TRUE(std::isnan(to_float(to_fp16(nan)))) << bits;
    EXPECT_EQ(to_bf16(nan).bits >> 15, bits >> 31);
    EXPECT_EQ(to_fp16(nan).bits >> 15, bits >> 31);
  }
}

TEST(dtype, sizes_and_names) {
  EXPECT_EQ(size_of(dtype::fp32), 4U);
  EXPECT_EQ(size_of(dtype::bf16), 2U);
  EXPECT_EQ(size_of(dtype::fp16), 2U);
  EXPECT_EQ(size_of(dtype::byte), 1U);
  EXPECT_STREQ(name_of(dtype::byte), "byte");
  EXPECT_STREQ(name_of(static_cast<dtype>(77)), "unknown");
  for (const char* name : {"fp32", "bf16", "fp16"}) EXPECT_STREQ(name_of(parse_dtype(name)), name);
}

TEST(dtype, refuses_other_names_and_lists_the_accepted) {
  for (const char* name : {"", "byte", "FP32", "float"}) {
    try {
      static_cast<void>(parse_dtype(name));
      ADD_FAILURE() << name;
    } catch (const invalid_argument& e) {
      EXPECT_EQ(std::string(e.what()),
                "dtype '" + std::string(name) + "': accepted are fp32, bf16 and fp16");
    }
  }
}

}  // namespace
}  // namespace zero::testing
