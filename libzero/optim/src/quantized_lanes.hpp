#pragma once
// quantize.hpp on a device: the 32 threads of a warp share a block of 128 elements, lane l having
// elements l, l + 32, l + 64 and l + 96, so that what lanes read and write side by side lies side
// by side. The lanes meet once, for the largest magnitude. Tests on the host run lane after lane.

#include "quantized_block.hpp"
#include "typed_elements.hpp"

#include <cstring>

namespace zero::optim::detail {

inline constexpr unsigned lanes_of_block = 32;
inline constexpr unsigned elements_a_lane = quantized_block / lanes_of_block;
static_assert(elements_a_lane == 4);

struct lane_values {
  float values[elements_a_lane];
};

// Elements of the block that starts at `from` and has `n`, 1 to a whole block; the rest is zero.
template <class T>
[[nodiscard]] ZERO_HOST_DEVICE lane_values load_lane(const T* from, std::size_t n, unsigned lane) {
  lane_values own;
  for (unsigned j = 0; j < elements_a_lane; ++j) {
    const std::size_t i = lane + j * lanes_of_block;
    own.values[j] = i < n ? to_float(from[i]) : 0.0F;
  }
  return own;
}

template <bool Add, class T>
ZERO_HOST_DEVICE void store_lane(const lane_values& own, T* to, std::size_t n, unsigned lane) {
  for (unsigned j = 0; j < elements_a_lane; ++j) {
    const std::size_t i = lane + j * lanes_of_block;
    if (i < n) assign(to[i], Add ? to_float(to[i]) + own.values[j] : own.values[j]);
  }
}

// Of the lane's own elements, as bits.
[[nodiscard]] ZERO_HOST_DEVICE inline std::uint32_t largest_of_lane(
    const lane_values& own) noexcept {
  std::uint32_t largest = 0;
  for (const float v : own.values) {
    const std::uint32_t magnitude = zero::detail::bits_of(v) & magnitude_mask;
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

// `largest`: of the whole block. `out`: the block's codes.
template <int Bits>
ZERO_HOST_DEVICE void encode_lane(const lane_values& own, std::uint32_t largest, unsigned lane,
                                  std::byte* out) {
  const block_scale s = scale_of(largest, Bits);
  const bool finite = largest < first_not_finite;
  std::int32_t code[elements_a_lane];
  for (unsigned j = 0; j < elements_a_lane; ++j) {
    code[j] = finite ? code_of(own.values[j], s.inverse) : 0;
  }
  if constexpr (Bits == 8) {
    for (unsigned j = 0; j < elements_a_lane; ++j) {
      out[lane + j * lanes_of_block] = static_cast<std::byte>(code[j] & 255);
    }
  } else {
    for (unsigned j = 0; j < 2; ++j) {
      out[lane + j * lanes_of_block] =
          static_cast<std::byte>((code[j] & 15) | (code[j + 2] & 15) << 4);
    }
  }
  if (lane == 0) {
    std::memcpy(__builtin_assume_aligned(out + code_bytes(Bits), 4), &s.scale, sizeof s.scale);
  }
}

template <int Bits>
[[nodiscard]] ZERO_HOST_DEVICE lane_values decode_lane(const std::byte* block, unsigned lane) {
  float scale;
  std::memcpy(&scale, __builtin_assume_aligned(block + code_bytes(Bits), 4), sizeof scale);
  lane_values own;
  for (unsigned j = 0; j < elements_a_lane; ++j) {
    const std::byte stored = block[lane + (Bits == 8 ? j : j % 2) * lanes_of_block];
    const std::int32_t code = Bits == 8 ? static_cast<std::int8_t>(stored)
                                        : half_byte(static_cast<std::uint8_t>(stored), j >= 2);
    own.values[j] = value_of(code, scale);
  }
  return own;
}

// The sum of one block of each of `terms` runs that are `stride` bytes apart, in their order.
template <int Bits>
[[nodiscard]] ZERO_HOST_DEVICE lane_values sum_lane(const std::byte* block, int terms,
                                                    std::uint64_t stride, unsigned lane) {
  lane_values sum = decode_lane<Bits>(block, lane);
  for (int t = 1; t < terms; ++t) {
    const lane_values next =
        decode_lane<Bits>(block + static_cast<std::uint64_t>(t) * stride, lane);
    for (unsigned j = 0; j < elements_a_lane; ++j) sum.values[j] += next.values[j];
  }
  return sum;
}

}  // namespace zero::optim::detail
