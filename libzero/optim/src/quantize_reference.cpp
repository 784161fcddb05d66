#include "quantize_check.hpp"
#include "quantized_block.hpp"
#include "typed_elements.hpp"

#include <zero/optim/quantize.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace zero::optim {
namespace {

using block_values = std::array<float, quantized_block>;

void encode(const block_values& values, int bits, std::byte* out) {
  std::uint32_t largest = 0;
  for (const float v : values) {
    largest = std::max(largest, zero::detail::bits_of(v) & detail::magnitude_mask);
  }
  const detail::block_scale s = detail::scale_of(largest, bits);
  const bool finite = largest < detail::first_not_finite;
  const auto code = [&](std::size_t i) {
    return finite ? detail::code_of(values[i], s.inverse) : 0;
  };
  for (std::size_t i = 0; i < detail::code_bytes(bits); ++i) {
    const int both = bits == 8 ? code(i) : (code(i) & 15) | (code(i + 64) & 15) << 4;
    out[i] = static_cast<std::byte>(both & 255);
  }
  std::memcpy(out + detail::code_bytes(bits), &s.scale, sizeof s.scale);
}

float decoded(const std::byte* block, int bits, std::size_t i) {
  float scale;
  std::memcpy(&scale, block + detail::code_bytes(bits), sizeof scale);
  if (bits == 8) return detail::value_of(static_cast<std::int8_t>(block[i]), scale);
  return detail::value_of(detail::half_byte(static_cast<std::uint8_t>(block[i % 64]), i >= 64),
                          scale);
}

// Element i of the sum of runs of `bytes` bytes.
float sum_of(const std::byte* in, int terms, std::uint64_t bytes, int bits, std::size_t i) {
  const std::byte* block = in + i / quantized_block * detail::block_bytes(bits);
  float sum = decoded(block, bits, i % quantized_block);
  for (int t = 1; t < terms; ++t) {
    sum += decoded(block + static_cast<std::uint64_t>(t) * bytes, bits, i % quantized_block);
  }
  return sum;
}

// Quantizes `count` elements, element i being value(i).
template <typename F>
void encode_all(std::uint64_t count, int bits, std::byte* out, const F& value) {
  for (std::size_t begin = 0; begin < count; begin += quantized_block) {
    block_values values{};
    const std::size_t n = std::min<std::size_t>(quantized_block, count - begin);
    for (std::size_t i = 0; i < n; ++i) values[i] = value(begin + i);
    encode(values, bits, out);
    out += detail::block_bytes(bits);
  }
}

}  // namespace

void quantize_reference(const_typed_span in, int bits, std::byte* out) {
  detail::check_bits(bits);
  detail::check_elements(in);
  detail::check_run(out);
  encode_all(in.count, bits, out, [&](std::size_t i) { return detail::load(in, i); });
}

void dequantize_reference(const std::byte* in, int terms, int bits, typed_span out,
                          store_mode mode) {
  detail::check_bits(bits);
  detail::check_elements(out);
  detail::check_run(in);
  detail::check_terms(terms);
  const std::uint64_t bytes = quantized_bytes(out.count, bits);
  for (std::size_t i = 0; i < out.count; ++i) {
    const float sum = sum_of(in, terms, bytes, bits, i);
    detail::store(out, i, mode == store_mode::add ? detail::load(out, i) + sum : sum);
  }
}

void requantize_reference(const std::byte* in, int terms, std::uint64_t count, int bits,
                          std::byte* out) {
  detail::check_bits(bits);
  detail::check_run(in);
  detail::check_run(out);
  detail::check_terms(terms);
  const std::uint64_t bytes = quantized_bytes(count, bits);
  encode_all(count, bits, out, [&](std::size_t i) { return sum_of(in, terms, bytes, bits, i); });
}

}  // namespace zero::optim
