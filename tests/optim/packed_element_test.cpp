// What a weight, a parameter and a code become, one by one: against the definitions, written out
// here, over all bit patterns that can matter.
#include "packed_element.hpp"

#include "rounding_bits.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace zero::testing {
namespace {

namespace detail = optim::detail;
using detail::code_kind;
using zero::detail::bits_of;
using zero::detail::float_of;

// ---- random bits -------------------------------------------------------------------------------

// The known answers of Random123, the authors' own library.
TEST(rounding_bits, philox_gives_the_known_answers) {
  const auto expect = [](detail::philox_words counter, std::uint32_t key0, std::uint32_t key1,
                         int rounds, std::vector<std::uint32_t> answer) {
    const detail::philox_words out = detail::philox(counter, key0, key1, rounds);
    EXPECT_EQ(std::vector<std::uint32_t>(out.word, out.word + 4), answer);
  };
  expect({{0, 0, 0, 0}}, 0, 0, 7, {0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48});
  expect({{0, 0, 0, 0}}, 0, 0, 10, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  expect({{ones, ones, ones, ones}}, ones, ones, 10,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  expect({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0, 10,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(rounding_bits, every_key_has_bits_of_its_own) {
  const detail::rounding_key key{0x123456789abcdef0, 3, detail::rounding_of::weight};
  std::set<std::pair<std::uint64_t, unsigned>> places;  // counter and part
  for (std::uint64_t e = 0; e < 1024; ++e) {
    const std::uint64_t counter = detail::counter_of(e);
    const detail::philox_words words = detail::rounding_words(key, counter);
    const auto part = static_cast<unsigned>(e / 16 % 8);
    const std::uint32_t word = words.word[part / 2];
    EXPECT_EQ(detail::rounding_bits(key, e), part % 2 == 0 ? word & 0xffff : word >> 16);
    places.emplace(counter, part);
  }
  EXPECT_EQ(places.size(), 1024U);
  EXPECT_EQ(places.rbegin()->first, 127U);  // no counter is passed over
}

TEST(rounding_bits, seed_step_purpose_and_element_all_count) {
  const detail::rounding_key base{7, 9, detail::rounding_of::weight};
  std::vector<detail::rounding_key> keys(7, base);
  keys[1].seed = 8;
  keys[2].seed = 7 + (std::uint64_t{1} << 32);
  keys[3].step = 10;
  keys[4].step = 9 + (std::uint64_t{1} << 32);
  keys[5].purpose = detail::rounding_of::state0;
  keys[6].purpose = detail::rounding_of::state1;
  std::set<std::vector<std::uint16_t>> seen;
  for (const detail::rounding_key& key : keys) {
    for (const std::uint64_t first :
         {std::uint64_t{0}, std::uint64_t{128}, std::uint64_t{1} << 40}) {
      std::vector<std::uint16_t> bits;
      for (std::uint64_t e = 0; e < 128; ++e) bits.push_back(detail::rounding_bits(key, first + e));
      seen.insert(bits);
    }
  }
  EXPECT_EQ(seen.size(), keys.size() * 3);
}

// ---- parameter and remainder -------------------------------------------------------------------

// The bf16 numbers around a finite value, from below and from above in magnitude.
struct neighbours {
  float towards_zero, away;
};
neighbours around(float value) {
  const std::uint32_t cut = bits_of(value) & 0xffff0000U;
  return {float_of(cut), float_of(cut + 0x10000U)};
}

std::vector<std::uint32_t> lower_halves() {
  std::vector<std::uint32_t> lower = {0,      1,      2,      0x7ffe, 0x7fff,
                                      0x8000, 0x8001, 0x8002, 0xfffe, 0xffff};
  std::mt19937 random(1);
  for (int i = 0; i < 54; ++i) lower.push_back(random() & 0xffff);
  return lower;
}

// 4 million weights: every sign, exponent and upper mantissa, with lower halves at the edges.
TEST(remainder, the_weight_comes_back_exactly_and_the_parameter_is_its_nearest) {
  const std::vector<std::uint32_t> lower_half = lower_halves();
  for (std::uint32_t upper = 0; upper < 0x10000; ++upper) {
    for (const std::uint32_t lower : lower_half) {
      const float weight = float_of(upper << 16 | lower);
      const detail::split_weight both = detail::split(weight);
      const float again = detail::join(both.parameter, both.remainder);
      if (std::isnan(weight)) {
        ASSERT_TRUE(std::isnan(again) && std::isnan(to_float(both.parameter)));
        continue;
      }
      ASSERT_EQ(bits_of(again), bits_of(weight));
      if (std::isinf(weight)) {
        ASSERT_EQ(to_float(both.parameter), weight);
        continue;
      }
      const neighbours near = around(weight);
      const bool overflows = std::isinf(near.away);
      const long double below = std::fabs(static_cast<long double>(weight) - near.towards_zero);
      const long double above =  // as if the exponent went on
          overflows ? std::fabs(0x1p128L - std::fabs(static_cast<long double>(weight)))
                    : std::fabs(static_cast<long double>(weight) - near.away);
      const float expected = above < below ? near.away : near.towards_zero;
      ASSERT_EQ(bits_of(to_float(both.parameter)), bits_of(expected)) << weight;
      if (above != below) {
        ASSERT_EQ(both.parameter.bits, to_bf16(weight).bits);
      }
    }
  }
}

// Whatever somebody else writes into a parameter, the weight behind it is one that rounds to it.
TEST(remainder, a_parameter_that_was_written_is_what_its_weight_rounds_to) {
  const std::vector<std::uint32_t> lower_half = lower_halves();
  for (std::uint32_t p = 0; p < 0x10000; ++p) {
    const bf16_t parameter{static_cast<std::uint16_t>(p)};
    for (const std::uint32_t lower : lower_half) {
      const float weight = detail::join(parameter, static_cast<std::uint16_t>(lower));
      if (std::isnan(to_float(parameter))) {
        ASSERT_TRUE(std::isnan(weight));
        continue;
      }
      if (std::isinf(to_float(parameter)) && lower != 0) continue;  // or it was beyond the largest
      ASSERT_FALSE(std::isnan(weight)) << p << " " << lower;
      const bool of_zero = (p & 0x7fff) == 0 && lower > 0x8000;
      if (of_zero) {
        ASSERT_LT(std::fabs(weight), 0x1p-132F);
      } else {
        ASSERT_EQ(detail::split(weight).parameter.bits, p);
      }
    }
  }
}

// ---- stochastic rounding -----------------------------------------------------------------------

template <class T>
std::vector<float> finite_values() {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = to_float(T{static_cast<std::uint16_t>(bits)});
    if (std::isfinite(value)) values.push_back(value);
  }
  std::sort(values.begin(), values.end());
  return values;
}

// Over all random bits, every one once: the results are the two neighbours, their mean is the
// value, to within `unit` of a step where the bits are too few.
template <class T>
void expect_unbiased(float value, const std::vector<float>& values, long double bias) {
  const auto above = std::lower_bound(values.begin(), values.end(), value);
  ASSERT_NE(above, values.end());
  const bool exact = *above == value;
  const float high = *above;
  const float low = exact ? value : *(above - 1);
  long double sum = 0.0L;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float rounded =
        to_float(detail::round_with(value, static_cast<std::uint16_t>(bits), T{}));
    ASSERT_TRUE(rounded == low || rounded == high) << value << " became " << rounded;
    if (value != 0 && rounded == 0) {
      ASSERT_EQ(std::signbit(rounded), std::signbit(value));
    }
    sum += rounded;
  }
  const long double step = static_cast<long double>(high) - low;
  EXPECT_LE(std::fabs(sum / 65536 - value), bias * step) << value;
}

TEST(stochastic_rounding, is_unbiased_between_the_neighbours_bf16) {
  const std::vector<float> values = finite_values<bf16_t>();
  std::mt19937 random(2);
  std::vector<float> cases = {
      0.0F,     -0.0F,          1.0F, 1.0F + 0x1p-23F, -1.0F - 0x1p-8F, 0x1p-149F, 0x1.fffffep-127F,
      -3.3e38F, 0x1.fdfffep127F};
  for (int i = 0; i < 60; ++i) {
    const float v = float_of(random());
    if (std::isfinite(v) && std::fabs(v) < 3.3e38F) cases.push_back(v);
  }
  for (const float v : cases) expect_unbiased<bf16_t>(v, values, 0.0L);
}

TEST(stochastic_rounding, is_unbiased_between_the_neighbours_fp16) {
  const std::vector<float> values = finite_values<fp16_t>();
  std::mt19937 random(3);
  for (const float v : {0.0F, -0.0F, 1.0F, 65504.0F, -65503.99F, 0x1p-14F, 0x1.000002p-14F}) {
    expect_unbiased<fp16_t>(v, values, 0.0L);
  }
  for (int i = 0; i < 60; ++i) {
    const float v = std::ldexp(1.0F + static_cast<float>(random() % 8388608) * 0x1p-23F,
                               static_cast<int>(random() % 44) - 28);
    const bool normal = v >= 0x1p-14F;
    expect_unbiased<fp16_t>(i % 2 == 0 ? v : -v, values, normal ? 0.0L : 0x1p-16L);
  }
  expect_unbiased<fp16_t>(0x1p-149F, values, 0x1p-16L);
}

TEST(stochastic_rounding, beyond_the_largest_number_it_is_to_nearest) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::uint16_t bits : {0, 1, 0x8000, 0xffff}) {
    for (const float v : {0x1.fep127F, 0x1.fe0002p127F, 0x1.ff0002p127F, 3.4028235e38F, infinity,
                          -infinity, -0x1.fe8p127F}) {
      EXPECT_EQ(detail::round_with(v, bits, bf16_t{}).bits, to_bf16(v).bits) << v;
    }
    for (const float v :
         {65504.0F, 65504.004F, 65519.996F, 65520.0F, 1e9F, -65519.0F, -1e30F, infinity}) {
      EXPECT_EQ(detail::round_with(v, bits, fp16_t{}).bits, to_fp16(v).bits) << v;
    }
    EXPECT_TRUE(std::isnan(to_float(detail::round_with(std::nanf(""), bits, bf16_t{}))));
    EXPECT_TRUE(std::isnan(to_float(detail::round_with(std::nanf(""), bits, fp16_t{}))));
  }
}

// ---- codes -------------------------------------------------------------------------------------

constexpr code_kind kinds[] = {code_kind::signed_values, code_kind::squares};

int codes_of(code_kind kind) { return kind == code_kind::squares ? 256 : 128; }

// What formats.md says a code means: multiples of the unit up to 15, then 8 numbers a binade.
long double meaning(int number, long double unit) {
  if (number < 8) return number * unit;
  return static_cast<long double>(8 + number % 8) * std::ldexp(unit, number / 8 - 1);
}

TEST(codes, mean_what_is_said) {
  for (const code_kind kind : kinds) {
    for (const float unit : {0x1p-110F, 0x1p-30F, 1.0F, 0x1p64F}) {
      for (int number = 0; number < codes_of(kind); ++number) {
        const auto code = static_cast<std::uint8_t>(number);
        EXPECT_EQ(detail::value_of_code(code, unit, kind), meaning(number, unit)) << number;
        if (kind == code_kind::squares) continue;
        EXPECT_EQ(detail::value_of_code(code | 0x80, unit, kind), -meaning(number, unit));
      }
    }
    EXPECT_EQ(detail::value_of_code(0, 0.0F, kind), 0.0F);  // bytes of zero
    EXPECT_TRUE(std::isnan(detail::value_of_code(0, std::nanf(""), kind)));
  }
}

TEST(codes, the_largest_fits_and_uses_the_upper_binade) {
  std::mt19937 random(4);
  for (const code_kind kind : kinds) {
    for (int i = 0; i < 100'000; ++i) {
      const std::uint32_t largest = random() % 0x7f000000U;
      const detail::code_scale scale = detail::code_scale_of(largest, kind);
      const long double top = meaning(codes_of(kind) - 1, scale.unit);
      ASSERT_LE(static_cast<long double>(float_of(largest)), top);
      if (float_of(largest) >= 0x1p-76F) {
        ASSERT_GT(static_cast<long double>(float_of(largest)) * 2.2L, top);
      }
      ASSERT_EQ(static_cast<long double>(scale.to_units) * scale.unit, 65536.0L);
    }
  }
}

TEST(codes, are_unbiased_between_the_neighbours) {
  std::mt19937 random(5);
  for (const code_kind kind : kinds) {
    for (int i = 0; i < 60; ++i) {
      const float largest = std::ldexp(1.0F + static_cast<float>(random() % 8388608) * 0x1p-23F,
                                       static_cast<int>(random() % 200) - 100);
      const detail::code_scale scale = detail::code_scale_of(bits_of(largest), kind);
      const int below = static_cast<int>(random() % (kind == code_kind::squares ? 33 : 17));
      const float value = i == 0 ? largest : std::ldexp(largest, -below) * 0.7F;
      int number = 0;
      while (meaning(number + 1, scale.unit) <= value) ++number;
      long double sum = 0.0L;
      for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const std::uint8_t code =
            detail::code_with(value, static_cast<std::uint16_t>(bits), scale, kind);
        ASSERT_TRUE(code == number || code == number + 1) << value << ": " << int(code);
        sum += meaning(code, scale.unit);
      }
      const long double step = meaning(number + 1, scale.unit) - meaning(number, scale.unit);
      if (kind == code_kind::squares && number == 0) {
        EXPECT_EQ(sum, 65536 * static_cast<long double>(scale.unit));  // never 0
      } else {
        EXPECT_LE(std::fabs(sum / 65536 - value), step / 65536);
      }
    }
  }
}

TEST(codes, what_is_a_code_already_stays_it) {
  for (const code_kind kind : kinds) {
    const detail::code_scale scale = detail::code_scale_of(bits_of(0x1.cp3F), kind);
    for (int number = 0; number < codes_of(kind); ++number) {
      const float value = static_cast<float>(meaning(number, scale.unit));
      for (const std::uint16_t bits : {0, 1, 0x7fff, 0x8000, 0xffff}) {
        EXPECT_EQ(detail::code_with(value, bits, scale, kind), number);
        if (kind == code_kind::squares || number == 0) continue;
        EXPECT_EQ(detail::code_with(-value, bits, scale, kind), number | 0x80);
      }
    }
  }
}

TEST(codes, a_square_that_is_not_zero_does_not_become_it) {
  const detail::code_scale scale = detail::code_scale_of(bits_of(1.0F), code_kind::squares);
  for (const std::uint16_t bits : {0, 0x8000, 0xffff}) {
    EXPECT_EQ(detail::code_with(0.0F, bits, scale, code_kind::squares), 0);
    for (const float v : {0x1p-149F, 1e-30F, scale.unit / 2}) {
      EXPECT_EQ(detail::code_with(v, bits, scale, code_kind::squares), 1) << v;
    }
  }
}

TEST(codes, beyond_all_codes_is_the_largest) {
  for (const code_kind kind : kinds) {
    const detail::code_scale scale = detail::code_scale_of(bits_of(3.4028235e38F), kind);
    const std::uint8_t code = detail::code_with(3.4028235e38F, 0xffff, scale, kind);
    EXPECT_EQ(code, codes_of(kind) - 1);
    EXPECT_EQ(detail::value_of_code(code, scale.unit, kind), 0x1.ep127F);
  }
}

}  // namespace
}  // namespace zero::testing
