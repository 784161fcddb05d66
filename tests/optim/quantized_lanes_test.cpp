// quantize.hpp as the lanes of a warp do it, lane after lane, against the references, byte for
// byte.
#include "quantized_lanes.hpp"

#include "elements.hpp"

#include <zero/optim/quantize.hpp>

#include <algorithm>
#include <vector>

namespace zero::testing {
namespace {

namespace detail = optim::detail;
using optim::store_mode;

constexpr std::size_t counts[] = {1, 7, 64, 65, 127, 128, 129, 256, 1000};
constexpr int bits_of_codes[] = {4, 8};

std::vector<std::byte> run_of(std::size_t count, int bits, int terms = 1) {
  return std::vector<std::byte>(quantized_bytes(count, bits) * std::size_t(terms), std::byte{0xa5});
}

template <typename F>
void for_each_block(std::size_t count, const F& f) {
  for (std::size_t block = 0; block * quantized_block < count; ++block) {
    f(block, std::min(count - block * quantized_block, quantized_block));
  }
}

template <int Bits, typename F>
void encode(std::size_t n, std::byte* out, const F& own) {
  std::uint32_t largest = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    largest = std::max(largest, detail::largest_of_lane(own(lane)));
  }
  ASSERT_GT(n, 0U);
  for (unsigned lane = 0; lane < 32; ++lane) {
    detail::encode_lane<Bits>(own(lane), largest, lane, out);
  }
}

template <int Bits, class T>
void quantize_by_lanes(const T* in, std::size_t count, std::byte* out) {
  for_each_block(count, [&](std::size_t block, std::size_t n) {
    encode<Bits>(n, out + block * detail::block_bytes(Bits), [&](unsigned lane) {
      return detail::load_lane(in + block * quantized_block, n, lane);
    });
  });
}

template <int Bits, bool Add, class T>
void dequantize_by_lanes(const std::byte* in, int terms, T* out, std::size_t count) {
  for_each_block(count, [&](std::size_t block, std::size_t n) {
    for (unsigned lane = 0; lane < 32; ++lane) {
      const auto own = detail::sum_lane<Bits>(in + block * detail::block_bytes(Bits), terms,
                                              quantized_bytes(count, Bits), lane);
      detail::store_lane<Add>(own, out + block * quantized_block, n, lane);
    }
  });
}

template <typename F>
void with_bits(int bits, const F& f) {
  if (bits == 8) return f(std::integral_constant<int, 8>());
  f(std::integral_constant<int, 4>());
}

TEST(quantized_lanes, codes_equal_the_reference) {
  std::mt19937_64 random(31);
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    for (const int bits : bits_of_codes) {
      for (const std::size_t count : counts) {
        elements values(type, count, count % 3);
        // Every other run has elements that are not finite.
        values.fill([&] { return count % 2 == 0 ? normal_value(random) : nasty_value(random); });
        auto device = run_of(count, bits);
        auto expected = run_of(count, bits);
        detail::with_type(type, const_typed_span(values.span()).data, [&](const auto* in) {
          with_bits(bits, [&](auto b) { quantize_by_lanes<b()>(in, count, device.data()); });
        });
        optim::quantize_reference(values.span(), bits, expected.data());
        ASSERT_EQ(device, expected) << name_of(type) << ", " << bits << " bits, " << count;
      }
    }
  }
}

TEST(quantized_lanes, sums_equal_the_reference) {
  std::mt19937_64 random(32);
  constexpr int terms = 3;
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    for (const int bits : bits_of_codes) {
      for (const std::size_t count : counts) {
        auto runs = run_of(count, bits, terms);
        for (int t = 0; t < terms; ++t) {
          elements values(dtype::fp32, count, 0);
          values.fill([&] { return normal_value(random); });
          optim::quantize_reference(values.span(), bits,
                                    runs.data() + std::size_t(t) * quantized_bytes(count, bits));
        }
        for (const store_mode mode : {store_mode::overwrite, store_mode::add}) {
          elements device(type, count, count % 3);
          device.fill([&] { return normal_value(random); });
          elements expected = device;
          detail::with_type(type, device.span().data, [&](auto* out) {
            with_bits(bits, [&](auto b) {
              if (mode == store_mode::add) {
                return dequantize_by_lanes<b(), true>(runs.data(), terms, out, count);
              }
              dequantize_by_lanes<b(), false>(runs.data(), terms, out, count);
            });
          });
          optim::dequantize_reference(runs.data(), terms, bits, expected.span(), mode);
          expect_same(device, expected);
        }
      }
    }
  }
}

}  // namespace
}  // namespace zero::testing
