#pragma once
// What elements take as codes of a few bits: blocks that each have one scale. The arithmetic is in
// zero/optim/quantize.hpp.

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero {

inline constexpr std::size_t quantized_block = 128;  // elements

// Bytes of `count` elements in `bits` bits each, 4 or 8: whole blocks of codes and an fp32 scale.
// Additive over counts that are multiples of a block.
[[nodiscard]] constexpr std::uint64_t quantized_bytes(std::uint64_t count, int bits) noexcept {
  const std::uint64_t blocks = count / quantized_block + (count % quantized_block != 0 ? 1 : 0);
  return blocks * (quantized_block * static_cast<std::uint64_t>(bits) / 8 + sizeof(float));
}

}  // namespace zero
#pragma GCC visibility pop
