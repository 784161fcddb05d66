#pragma once
// The arithmetic of quantize.hpp on one block and one element, for every processor alike.

#include "exact.hpp"

#include <zero/base/float16.hpp>
#include <zero/optim/quantize.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::optim::detail {

// The largest code.
[[nodiscard]] ZERO_HOST_DEVICE constexpr int largest_code(int bits) noexcept {
  return bits == 8 ? 127 : 7;
}

[[nodiscard]] ZERO_HOST_DEVICE constexpr std::size_t code_bytes(int bits) noexcept {
  return bits == 8 ? quantized_block : quantized_block / 2;
}
[[nodiscard]] ZERO_HOST_DEVICE constexpr std::size_t block_bytes(int bits) noexcept {
  return code_bytes(bits) + sizeof(float);
}

struct block_scale {
  float scale = 0.0F;    // of the values; NaN where the block is not finite
  float inverse = 0.0F;  // 1 / scale; 0 where the block is not finite
};

// Of a magnitude: the bits of a finite value are below it, and ordered as the values are.
inline constexpr std::uint32_t magnitude_mask = 0x7fffffffU;
inline constexpr std::uint32_t first_not_finite = 0x7f800000U;

// `largest`: the largest of the block's magnitudes, as bits.
[[nodiscard]] ZERO_HOST_DEVICE inline block_scale scale_of(std::uint32_t largest,
                                                           int bits) noexcept {
  if (largest >= first_not_finite) return {zero::detail::float_of(0x7fc00000U), 0.0F};
  // Cut, not rounded: L * scale then never exceeds the largest magnitude, and so never overflows.
  // A normal number, so that 1 / scale is finite.
  const float ratio =
      quotient(zero::detail::float_of(largest), static_cast<float>(largest_code(bits)));
  const float cut = zero::detail::float_of(zero::detail::bits_of(ratio) & 0xffffff00U);
  const float scale = cut < 0x1p-126F ? 0x1p-126F : cut;
  return {scale, quotient(1.0F, scale)};
}

// Of an element of a finite block, whose product cannot exceed L + 1/2: rounded to nearest even by
// the addition itself, whose result has a unit of 1 in its last place.
[[nodiscard]] ZERO_HOST_DEVICE inline std::int32_t code_of(float value, float inverse) noexcept {
  const float shifted = value * inverse + 0x1.8p23F;
  return static_cast<std::int32_t>(zero::detail::bits_of(shifted)) - 0x4b400000;
}

[[nodiscard]] ZERO_HOST_DEVICE inline float value_of(std::int32_t code, float scale) noexcept {
  return static_cast<float>(code) * scale;
}

// The code of element i of a block, 4 bits a code.
[[nodiscard]] ZERO_HOST_DEVICE inline std::int32_t half_byte(std::uint8_t both,
                                                             bool upper) noexcept {
  const std::int32_t code = upper ? both >> 4 : both & 15;
  return (code ^ 8) - 8;
}

}  // namespace zero::optim::detail
