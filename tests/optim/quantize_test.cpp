// Codes in blocks: the reference against a computation in double and against what the header
// promises of errors; every target against the reference, byte for byte.
#include "elements.hpp"
#include "targets.hpp"

#include <zero/base/error.hpp>
#include <zero/optim/quantize.hpp>

#include <algorithm>
#include <string>

namespace zero::testing {
namespace {

using optim::store_mode;

constexpr dtype dtypes[] = {dtype::fp32, dtype::bf16, dtype::fp16};
constexpr std::size_t counts[] = {0, 1, 7, 64, 65, 127, 128, 129, 255, 256, 1000};
constexpr std::size_t canaries = 16;

// A run of codes, filled with what it must not keep, and bytes after it that must not change.
class run {
 public:
  run(std::size_t count, int bits, int terms = 1)
      : bytes_(quantized_bytes(count, bits) * static_cast<std::size_t>(terms) + canaries,
               std::byte{0xa5}) {}
  [[nodiscard]] std::byte* data() { return bytes_.data(); }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
  void expect_canaries() const {
    for (std::size_t i = bytes_.size() - canaries; i < bytes_.size(); ++i) {
      ASSERT_EQ(bytes_[i], std::byte{0xa5}) << "written behind the run";
    }
  }

 private:
  std::vector<std::byte> bytes_;
};

float finite_value(std::mt19937_64& random) {
  for (;;) {
    const float value = nasty_value(random);
    if (std::isfinite(value)) return value;
  }
}

template <typename F>
void for_each_kind(const F& check) {
  for (const dtype type : dtypes) {
    for (const int bits : {4, 8}) {
      SCOPED_TRACE(std::string(name_of(type)) + ", " + std::to_string(bits) + " bits");
      check(type, bits);
    }
  }
}

// One block as the header has it, in double: the scale, and the code nearest to x / scale.
struct double_block {
  double scale = 0;
  int largest_code = 0;

  double_block(const elements& values, std::size_t begin, std::size_t end, int bits)
      : largest_code((1 << (bits - 1)) - 1) {
    double largest = 0;
    for (std::size_t i = begin; i < end; ++i) {
      largest = std::max(largest, std::fabs(double{values.at(i)}));
    }
    int exponent = 0;
    const double fraction = std::frexp(largest / largest_code, &exponent);
    scale = std::ldexp(std::floor(std::ldexp(fraction, 16)), exponent - 16);
    scale = std::max(scale, std::ldexp(1.0, -126));
  }
};

int code_in(const std::byte* block, int bits, std::size_t i) {
  if (bits == 8) return static_cast<std::int8_t>(block[i]);
  const int both = static_cast<int>(block[i % 64]);
  const int code = i < 64 ? both % 16 : both / 16;
  return code < 8 ? code : code - 16;
}

float scale_in(const std::byte* block, int bits) {
  float scale;
  std::memcpy(&scale, block + 128 * bits / 8, sizeof scale);
  return scale;
}

std::vector<float> values_of(const std::byte* in, std::size_t count, int bits) {
  std::vector<float> values(count);
  optim::dequantize_reference(in, 1, bits, {values.data(), count, dtype::fp32});
  return values;
}

TEST(quantized_bytes, whole_blocks_of_codes_and_a_scale_each) {
  EXPECT_EQ(quantized_bytes(0, 8), 0U);
  EXPECT_EQ(quantized_bytes(1, 8), 132U);
  EXPECT_EQ(quantized_bytes(128, 8), 132U);
  EXPECT_EQ(quantized_bytes(129, 8), 264U);
  EXPECT_EQ(quantized_bytes(1, 4), 68U);
  EXPECT_EQ(quantized_bytes(1024, 4), 544U);
}

// Codes and scales, where they lie, and how far values are from what they stand for.
TEST(quantize_reference, is_what_doubles_say_within_half_a_scale) {
  std::mt19937_64 random(1);
  for_each_kind([&](dtype type, int bits) {
    for (const std::size_t count : counts) {
      elements from(type, count, count % 3);
      from.fill([&] { return count % 2 == 0 ? finite_value(random) : normal_value(random); });
      if (type == dtype::fp16 || type == dtype::bf16) {  // rounding to them may give infinities
        elements finite(type, count, count % 3);
        std::size_t i = 0;
        finite.fill([&] {
          const float v = from.at(i++);
          return std::isfinite(v) ? v : 1.0F;
        });
        from = finite;
      }
      run codes(count, bits);
      optim::quantize_reference(from.span(), bits, codes.data());
      codes.expect_canaries();
      const std::vector<float> values = values_of(codes.data(), count, bits);
      for (std::size_t begin = 0; begin < count; begin += 128) {
        const std::size_t end = std::min<std::size_t>(count, begin + 128);
        const double_block expected(from, begin, end, bits);
        const std::byte* block = codes.data() + begin / 128 * quantized_bytes(1, bits);
        ASSERT_EQ(double{scale_in(block, bits)}, expected.scale);
        for (std::size_t i = begin; i < end; ++i) {
          const double exact = from.at(i) / expected.scale;
          const int code = code_in(block, bits, i - begin);
          ASSERT_LE(std::abs(code), expected.largest_code);
          ASSERT_LE(std::fabs(code - exact), 0.5 * (1 + 0x1p-15)) << from.at(i);
          ASSERT_EQ(double{values[i]}, code * expected.scale);
          ASSERT_LE(std::fabs(double{values[i]} - from.at(i)), expected.scale / 2 * (1 + 0x1p-15));
        }
        for (std::size_t i = end; i < begin + 128; ++i) {
          ASSERT_EQ(code_in(block, bits, i - begin), 0) << "padding";
        }
      }
    }
  });
}

TEST(quantize_reference, a_tie_goes_to_the_even_code) {
  const float values[] = {127.0F, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F};
  run codes(7, 8);
  optim::quantize_reference({values, 7, dtype::fp32}, 8, codes.data());
  EXPECT_EQ(values_of(codes.data(), 7, 8),
            (std::vector<float>{127.0F, 0.0F, 2.0F, 2.0F, 0.0F, -2.0F, -2.0F}));
}

TEST(quantize_reference, multiples_of_the_scale_come_back_exactly) {
  for (const int bits : {4, 8}) {
    const int largest = bits == 8 ? 127 : 7;
    for (const float step : {1.0F, 0x1p-14F, 0x1.fffep-100F, 0x1.8642p+100F, 0x1p-126F}) {
      std::vector<float> values;
      for (int k = -largest; k <= largest && values.size() < 128; ++k) {
        values.push_back(static_cast<float>(k) * step);
      }
      run codes(values.size(), bits);
      optim::quantize_reference({values.data(), values.size(), dtype::fp32}, bits, codes.data());
      EXPECT_EQ(values_of(codes.data(), values.size(), bits), values) << bits << " " << step;
    }
  }
}

TEST(quantize_reference, quantizing_values_again_changes_nothing) {
  std::mt19937_64 random(2);
  for (const int bits : {4, 8}) {
    for (int round = 0; round < 2000; ++round) {
      // One magnitude a block, from denormals to the largest, so that all kinds of scale occur.
      const float magnitude =
          std::ldexp(1.0F + static_cast<float>(random() % 4096) / 4096.0F, round % 277 - 149);
      elements from(dtype::fp32, 128, 0);
      from.fill([&] { return 100 * normal_value(random) * magnitude; });
      run once(128, bits);
      run twice(128, bits);
      optim::quantize_reference(from.span(), bits, once.data());
      const std::vector<float> values = values_of(once.data(), 128, bits);
      optim::quantize_reference({values.data(), 128, dtype::fp32}, bits, twice.data());
      if (std::isnan(values[0])) continue;  // what was drawn overflowed
      ASSERT_EQ(once.bytes(), twice.bytes()) << magnitude;
    }
  }
}

TEST(quantize_reference, no_finite_value_overflows) {
  const float greatest = std::numeric_limits<float>::max();
  for (const int bits : {4, 8}) {
    std::mt19937_64 random(3);
    for (int round = 0; round < 5000; ++round) {
      const float value =
          round == 0 ? greatest : zero::detail::float_of(0x7f7fffffU - random() % 4000000);
      run codes(1, bits);
      optim::quantize_reference({&value, 1, dtype::fp32}, bits, codes.data());
      const float back = values_of(codes.data(), 1, bits)[0];
      ASSERT_LE(back, value);
      ASSERT_GE(back, value * (1 - 0x1p-14F));
    }
    fp16_t half = to_fp16(65504.0F);
    run codes(1, bits);
    optim::quantize_reference({&half, 1, dtype::fp16}, bits, codes.data());
    optim::dequantize_reference(codes.data(), 1, bits, {&half, 1, dtype::fp16});
    EXPECT_TRUE(std::isfinite(to_float(half)));
  }
}

TEST(quantize_reference, zeros_and_denormals) {
  for (const int bits : {4, 8}) {
    const float values[] = {0.0F, -0.0F, 0x1p-149F, -0x1p-128F, 0x1p-126F, 0x1.8p-126F, -0x1p-125F};
    for (std::size_t n : {std::size_t{2}, std::size_t{7}}) {
      run codes(n, bits);
      optim::quantize_reference({values, n, dtype::fp32}, bits, codes.data());
      EXPECT_EQ(scale_in(codes.data(), bits), 0x1p-126F);
      const std::vector<float> back = values_of(codes.data(), n, bits);
      for (std::size_t i = 0; i < n; ++i) EXPECT_LE(std::fabs(back[i] - values[i]), 0x1p-127F);
    }
  }
}

// Loss scaling must see what overflowed, and nobody else may suffer for it.
TEST(quantize, what_is_not_finite_makes_its_block_nan_and_no_other) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for_each_target([&] {
    for_each_kind([&](dtype type, int bits) {
      for (const float bad : {infinity, -infinity, std::nanf("")}) {
        for (const std::size_t at : {std::size_t{128}, std::size_t{200}, std::size_t{255}}) {
          elements from(type, 300, 1);
          std::size_t i = 0;
          from.fill([&] { return i++ == at ? bad : 1.0F; });
          run codes(300, bits);
          optim::quantize(from.span(), bits, codes.data());
          elements to(type, 300, 1);
          optim::dequantize(codes.data(), 1, bits, to.span());
          for (std::size_t e = 0; e < 300; ++e) {
            ASSERT_EQ(std::isnan(to.at(e)), e / 128 == 1) << e;
          }
          run again(300, bits);
          optim::requantize(codes.data(), 1, 300, bits, again.data());
          ASSERT_TRUE(std::isnan(values_of(again.data(), 300, bits)[130]));
        }
      }
    });
  });
}

TEST(quantize, equals_the_reference_at_every_length) {
  std::mt19937_64 random(4);
  for_each_target([&] {
    for_each_kind([&](dtype type, int bits) {
      for (std::size_t count = 0; count <= 400; count += count < 270 ? 1 : 13) {
        elements from(type, count, count % 3);
        const bool tame = count % 2 == 0;
        from.fill([&] { return tame ? normal_value(random) : finite_value(random); });
        run vector(count, bits);
        run scalar(count, bits);
        optim::quantize(from.span(), bits, vector.data());
        optim::quantize_reference(from.span(), bits, scalar.data());
        ASSERT_EQ(vector.bytes(), scalar.bytes()) << count;
      }
    });
  });
}

// `terms` runs of random codes.
run random_runs(std::mt19937_64& random, std::size_t count, int bits, int terms) {
  run result(count, bits, terms);
  std::byte* at = result.data();
  for (int t = 0; t < terms; ++t) {
    elements from(dtype::fp32, count, 0);
    from.fill([&] { return normal_value(random) * static_cast<float>(t + 1); });
    optim::quantize_reference(from.span(), bits, at);
    at += quantized_bytes(count, bits);
  }
  return result;
}

TEST(dequantize, equals_the_reference_for_every_sum_and_length) {
  std::mt19937_64 random(5);
  for_each_target([&] {
    for_each_kind([&](dtype type, int bits) {
      for (const int terms : {1, 2, 3, 7}) {
        for (const std::size_t count : counts) {
          run codes = random_runs(random, count, bits, terms);
          for (const store_mode mode : {store_mode::overwrite, store_mode::add}) {
            elements vector(type, count, count % 5);
            vector.fill([&] { return normal_value(random); });
            elements scalar = vector;
            optim::dequantize(codes.data(), terms, bits, vector.span(), mode);
            optim::dequantize_reference(codes.data(), terms, bits, scalar.span(), mode);
            ASSERT_EQ(vector.bytes(), scalar.bytes()) << terms << " of " << count;
          }
          run vector(count, bits);
          run scalar(count, bits);
          optim::requantize(codes.data(), terms, count, bits, vector.data());
          optim::requantize_reference(codes.data(), terms, count, bits, scalar.data());
          ASSERT_EQ(vector.bytes(), scalar.bytes()) << terms << " of " << count;
        }
      }
    });
  });
}

// By hand: one run at a time, plain additions, then what there was, then one rounding.
TEST(dequantize, adds_runs_in_their_order_in_fp32_and_rounds_once) {
  std::mt19937_64 random(6);
  for_each_kind([&](dtype type, int bits) {
    constexpr std::size_t count = 300;
    run codes = random_runs(random, count, bits, 3);
    std::vector<float> sum = values_of(codes.data(), count, bits);
    for (int t = 1; t < 3; ++t) {
      const std::vector<float> next = values_of(
          codes.data() + static_cast<std::size_t>(t) * quantized_bytes(count, bits), count, bits);
      for (std::size_t i = 0; i < count; ++i) sum[i] += next[i];
    }
    elements there(type, count, 0);
    there.fill([&] { return normal_value(random); });
    elements expected = there;
    std::size_t at = 0;
    expected.fill([&] {
      const std::size_t i = at++;
      return there.at(i) + sum[i];
    });
    optim::dequantize(codes.data(), 3, bits, there.span(), store_mode::add);
    EXPECT_EQ(there.bytes(), expected.bytes());

    run again(count, bits);
    run of_sum(count, bits);
    optim::requantize(codes.data(), 3, count, bits, again.data());
    optim::quantize_reference({sum.data(), count, dtype::fp32}, bits, of_sum.data());
    EXPECT_EQ(again.bytes(), of_sum.bytes());
  });
}

TEST(quantize, runs_of_whole_blocks_are_one_run) {
  std::mt19937_64 random(7);
  elements from(dtype::fp32, 512, 0);
  from.fill([&] { return normal_value(random); });
  for (const int bits : {4, 8}) {
    run whole(512, bits);
    run parts(512, bits);
    optim::quantize(from.span(), bits, whole.data());
    optim::quantize(from.span().part(0, 384), bits, parts.data());
    optim::quantize(from.span().part(384, 128), bits, parts.data() + quantized_bytes(384, bits));
    EXPECT_EQ(whole.bytes(), parts.bytes());
  }
}

TEST(quantize_errors, bits_dtypes_alignment_and_terms) {
  float values[4] = {};
  alignas(4) std::byte codes[272];
  const const_typed_span in{values, 4, dtype::fp32};
  const typed_span out{values, 4, dtype::fp32};
  const typed_span raw{values, 4, dtype::byte};
  for (const int bits : {0, 2, 7, 16}) {
    EXPECT_THROW(optim::quantize(in, bits, codes), invalid_argument);
    EXPECT_THROW(optim::dequantize(codes, 1, bits, out), invalid_argument);
    EXPECT_THROW(optim::requantize(codes, 1, 4, bits, codes + 136), invalid_argument);
    EXPECT_THROW(optim::quantize_reference(in, bits, codes), invalid_argument);
    EXPECT_THROW(optim::dequantize_reference(codes, 1, bits, out), invalid_argument);
    EXPECT_THROW(optim::requantize_reference(codes, 1, 4, bits, codes + 136), invalid_argument);
  }
  EXPECT_THROW(optim::quantize(raw, 8, codes), invalid_argument);
  EXPECT_THROW(optim::dequantize(codes, 1, 8, raw), invalid_argument);
  EXPECT_THROW(optim::quantize_reference(raw, 8, codes), invalid_argument);
  EXPECT_THROW(optim::dequantize_reference(codes, 1, 8, raw), invalid_argument);
  EXPECT_THROW(optim::quantize(in, 8, codes + 2), invalid_argument);
  EXPECT_THROW(optim::dequantize(codes + 1, 1, 8, out), invalid_argument);
  EXPECT_THROW(optim::requantize(codes, 1, 4, 8, codes + 137), invalid_argument);
  EXPECT_THROW(optim::requantize(codes + 3, 1, 4, 8, codes + 136), invalid_argument);
  EXPECT_THROW(optim::dequantize(codes, 0, 8, out), invalid_argument);
  EXPECT_THROW(optim::requantize(codes, -1, 4, 8, codes + 136), invalid_argument);
  EXPECT_THROW(optim::dequantize_reference(codes, 0, 8, out), invalid_argument);
  EXPECT_THROW(optim::requantize_reference(codes, 0, 4, 8, codes + 136), invalid_argument);
}

}  // namespace
}  // namespace zero::testing
