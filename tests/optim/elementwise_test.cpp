// Casts, sums and the norm: every target against the references, those against doubles.
#include "elements.hpp"
#include "targets.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/elementwise.hpp>

#include <algorithm>
#include <string>

namespace zero::testing {
namespace {

constexpr dtype dtypes[] = {dtype::fp32, dtype::bf16, dtype::fp16};

template <typename F>
void for_each_pair(const F& check) {
  for (const dtype in : dtypes) {
    for (const dtype out : dtypes) {
      SCOPED_TRACE(std::string(name_of(in)) + " to " + name_of(out));
      check(in, out);
    }
  }
}

TEST(convert, equals_the_reference_at_every_length) {
  std::mt19937_64 random(1);
  for_each_target([&] {
    for_each_pair([&](dtype in, dtype out) {
      for (std::size_t count = 0; count <= 103; ++count) {
        elements from(in, count, count % 3);
        from.fill([&] { return nasty_value(random); });
        elements vector(out, count, count % 5);
        elements scalar = vector;
        optim::convert(from.span(), vector.span());
        optim::convert_reference(from.span(), scalar.span());
        ASSERT_EQ(vector.bytes(), scalar.bytes()) << count;  // NaN payloads too
      }
    });
  });
}

TEST(convert, equals_the_reference_on_every_16_bit_pattern) {
  std::vector<std::uint16_t> patterns(65536);
  for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<std::uint16_t>(i);
  for_each_target([&] {
    for (const dtype in : {dtype::bf16, dtype::fp16}) {
      for (const dtype out : dtypes) {
        elements vector(out, patterns.size(), 1);
        elements scalar = vector;
        optim::convert({patterns.data(), patterns.size(), in}, vector.span());
        optim::convert_reference({patterns.data(), patterns.size(), in}, scalar.span());
        ASSERT_EQ(vector.bytes(), scalar.bytes()) << name_of(in) << " to " << name_of(out);
      }
    }
  });
}

// Bit patterns spread over all of fp32: denormals, both 16-bit boundaries, NaN payloads; and large
// enough to be written around the caches.
TEST(convert, equals_the_reference_all_over_fp32) {
  constexpr std::size_t count = (std::size_t{1} << 22) + 3;
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = zero::detail::float_of(static_cast<std::uint32_t>(i * 1021));
  }
  for_each_target([&] {
    for (const dtype out : {dtype::bf16, dtype::fp16}) {
      elements vector(out, count, 5);
      elements scalar = vector;
      optim::convert({values.data(), count, dtype::fp32}, vector.span());
      optim::convert_reference({values.data(), count, dtype::fp32}, scalar.span());
      ASSERT_EQ(vector.bytes(), scalar.bytes()) << name_of(out);
    }
  });
}

TEST(convert, large_widening) {
  constexpr std::size_t count = (std::size_t{1} << 21) + 7;
  for_each_target([&] {
    for (const dtype in : {dtype::bf16, dtype::fp16}) {
      elements from(in, count, 1);
      std::mt19937_64 random(2);
      from.fill([&] { return normal_value(random); });
      elements vector(dtype::fp32, count, 3);
      elements scalar = vector;
      optim::convert(from.span(), vector.span());
      optim::convert_reference(from.span(), scalar.span());
      ASSERT_EQ(vector.bytes(), scalar.bytes());
    }
  });
}

TEST(convert, in_place_leaves_every_bit) {
  std::vector<std::uint16_t> patterns{0x7c01, 0xfe00, 0x0001, 0x8000};
  const std::vector<std::uint16_t> before = patterns;
  optim::convert({patterns.data(), 4, dtype::fp16}, {patterns.data(), 4, dtype::fp16});
  EXPECT_EQ(patterns, before);
}

TEST(accumulate, equals_the_reference_at_every_length) {
  std::mt19937_64 random(3);
  for_each_target([&] {
    for_each_pair([&](dtype in, dtype out) {
      for (std::size_t count = 0; count <= 103; ++count) {
        elements from(in, count, count % 3);
        from.fill([&] { return nasty_value(random); });
        elements vector(out, count, count % 5);
        vector.fill([&] { return nasty_value(random); });
        elements scalar = vector;
        optim::accumulate(from.span(), vector.span());
        optim::accumulate_reference(from.span(), scalar.span());
        expect_same(vector, scalar);
      }
    });
  });
}

TEST(scale, equals_the_reference_at_every_length) {
  std::mt19937_64 random(4);
  for_each_target([&] {
    for (const dtype type : dtypes) {
      for (std::size_t count = 0; count <= 103; ++count) {
        elements vector(type, count, count % 5);
        vector.fill([&] { return nasty_value(random); });
        elements scalar = vector;
        const float factor = count % 7 == 0 ? nasty_value(random) : 0.37F;
        optim::scale(vector.span(), factor);
        optim::scale_reference(scalar.span(), factor);
        expect_same(vector, scalar);
      }
    }
  });
}

TEST(scale, multiplies_in_fp32_and_rounds_once) {
  bf16_t value = to_bf16(1.0F + 0x1p-7F);
  const float factor = 1.0F + 0x1p-8F;  // not a bf16; the product is 1 + 3 * 2^-8 + 2^-15
  optim::scale({&value, 1, dtype::bf16}, factor);
  EXPECT_EQ(to_float(value), 1.0F + 0x1p-6F);
}

TEST(accumulate, adds_in_fp32_and_rounds_once) {
  // 1 + 2^-8 is a tie in bf16 and falls to even; 1 + 2^-8 + 2^-16 lies above it.
  bf16_t sum = to_bf16(1.0F);
  const float tie = 0x1p-8F;
  optim::accumulate({&tie, 1, dtype::fp32}, {&sum, 1, dtype::bf16});
  EXPECT_EQ(to_float(sum), 1.0F);
  const float above = 0x1p-8F + 0x1p-16F;
  optim::accumulate({&above, 1, dtype::fp32}, {&sum, 1, dtype::bf16});
  EXPECT_EQ(to_float(sum), 1.0F + 0x1p-7F);
}

TEST(sum_of_squares, equals_the_reference_at_every_length) {
  std::mt19937_64 random(4);
  for_each_target([&] {
    for (const dtype type : dtypes) {
      for (std::size_t count = 0; count <= 131; ++count) {
        elements values(type, count, count % 7);
        values.fill([&] { return normal_value(random); });
        const double vector = optim::sum_of_squares(values.span());
        ASSERT_EQ(vector, optim::sum_of_squares_reference(values.span())) << count;
      }
    }
  });
}

// The order the header promises, written down a second time.
TEST(sum_of_squares, sums_in_the_documented_order) {
  std::mt19937_64 random(5);
  elements values(dtype::fp32, 1003, 0);
  values.fill([&] { return nasty_value(random); });
  std::vector<float> finite(1003);
  for (std::size_t i = 0; i < finite.size(); ++i) {
    finite[i] = std::isfinite(values.at(i)) ? values.at(i) : 1.0F;
  }
  double p[32] = {};
  for (std::size_t i = 0; i < finite.size(); ++i) p[i % 32] += std::pow(double{finite[i]}, 2);
  for (std::size_t i = 0; i < 16; ++i) p[i] += p[i + 16];
  double expected = ((p[0] + p[8]) + (p[4] + p[12])) + ((p[2] + p[10]) + (p[6] + p[14]));
  expected += ((p[1] + p[9]) + (p[5] + p[13])) + ((p[3] + p[11]) + (p[7] + p[15]));
  for_each_target([&] {
    EXPECT_EQ(optim::sum_of_squares({finite.data(), finite.size(), dtype::fp32}), expected);
  });
}

// Blocks in neighbouring pairs, written down for seven of them, the last one short.
TEST(sum_of_squares, adds_blocks_in_neighbouring_pairs) {
  std::mt19937_64 random(6);
  constexpr std::size_t block = 2048;
  std::vector<float> values(6 * block + 77);
  // Magnitudes apart, so that another order gives other bits.
  for (float& v : values) v = std::ldexp(normal_value(random), static_cast<int>(random() % 8));
  double b[7];
  for (std::size_t i = 0; i < 7; ++i) {
    b[i] = optim::sum_of_squares_reference(
        {values.data() + i * block, std::min(block, values.size() - i * block), dtype::fp32});
  }
  const double expected = ((b[0] + b[1]) + (b[2] + b[3])) + ((b[4] + b[5]) + b[6]);
  const double in_a_row = b[0] + b[1] + b[2] + b[3] + b[4] + b[5] + b[6];
  EXPECT_NE(expected, in_a_row) << "this input proves nothing";
  EXPECT_EQ(optim::sum_of_squares_reference({values.data(), values.size(), dtype::fp32}), expected);
  for_each_target([&] {
    EXPECT_EQ(optim::sum_of_squares({values.data(), values.size(), dtype::fp32}), expected);
  });
}

TEST(sum_of_squares, equals_the_reference_over_many_blocks) {
  std::mt19937_64 random(7);
  for (const std::size_t count : {2047, 2048, 2049, 4096, 6144, 5 * 2048 + 1, 131'071, 262'147}) {
    for (const dtype type : dtypes) {
      elements values(type, count, count % 3);
      values.fill([&] { return normal_value(random); });
      const double expected = optim::sum_of_squares_reference(values.span());
      for_each_target([&] { EXPECT_EQ(optim::sum_of_squares(values.span()), expected) << count; });
    }
  }
}

// Cut into runs of 2^k blocks, the last one shorter: sums of the runs joined are the whole's.
TEST(sum_of_squares, of_runs_can_be_joined) {
  std::mt19937_64 random(8);
  constexpr std::size_t block = 2048;
  for (const std::size_t count :
       {std::size_t{0}, std::size_t{1}, block, 3 * block, 37 * block + 5}) {
    std::vector<float> values(count);
    for (float& v : values) v = std::ldexp(normal_value(random), static_cast<int>(random() % 8));
    const double whole = optim::sum_of_squares({values.data(), count, dtype::fp32});
    for (std::size_t run = block; run <= 64 * block; run *= 2) {
      std::vector<double> sums;
      for (std::size_t begin = 0; begin < count; begin += run) {
        const std::size_t n = std::min(run, count - begin);
        sums.push_back(optim::sum_of_squares({values.data() + begin, n, dtype::fp32}));
      }
      EXPECT_EQ(optim::join_sums_of_squares(sums), whole) << count << " in runs of " << run;
    }
  }
  EXPECT_EQ(optim::join_sums_of_squares({}), 0.0);
}

TEST(sum_of_squares, is_not_finite_exactly_when_an_element_is_not) {
  const float infinity = std::numeric_limits<float>::infinity();
  for_each_target([&] {
    for (const std::size_t at : {0, 15, 16, 40, 48}) {
      std::vector<float> values(49, std::numeric_limits<float>::max());
      EXPECT_TRUE(std::isfinite(optim::sum_of_squares({values.data(), 49, dtype::fp32})));
      for (const float bad : {infinity, -infinity, std::nanf("")}) {
        values[at] = bad;
        EXPECT_FALSE(std::isfinite(optim::sum_of_squares({values.data(), 49, dtype::fp32})));
      }
    }
  });
}

TEST(elementwise_errors, counts_and_dtypes) {
  float in[4] = {};
  float out[4] = {};
  EXPECT_THROW(optim::convert({in, 4, dtype::fp32}, {out, 3, dtype::fp32}), invalid_argument);
  EXPECT_THROW(optim::convert({in, 4, dtype::byte}, {out, 4, dtype::byte}), invalid_argument);
  EXPECT_THROW(optim::convert_reference({in, 4, dtype::byte}, {out, 4, dtype::fp32}),
               invalid_argument);
  EXPECT_THROW(optim::accumulate({in, 4, dtype::fp32}, {out, 3, dtype::fp32}), invalid_argument);
  EXPECT_THROW(optim::accumulate({in, 4, dtype::fp32}, {out, 4, dtype::byte}), invalid_argument);
  EXPECT_THROW(optim::scale({out, 4, dtype::byte}, 1.0F), invalid_argument);
  EXPECT_THROW(optim::scale_reference({out, 4, dtype::byte}, 1.0F), invalid_argument);
  EXPECT_THROW(optim::accumulate_reference({in, 2, dtype::fp32}, {out, 3, dtype::fp32}),
               invalid_argument);
  EXPECT_THROW(static_cast<void>(optim::sum_of_squares({in, 4, dtype::byte})), invalid_argument);
  EXPECT_THROW(static_cast<void>(optim::sum_of_squares_reference({in, 4, dtype::byte})),
               invalid_argument);
}

}  // namespace
}  // namespace zero::testing
