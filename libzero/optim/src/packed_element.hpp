#pragma once
// The arithmetic of packed.hpp on one element and one block, for every processor alike: integers,
// and products with powers of two, so that nothing here is rounded but where it says so. Formulas
// and bounds stand in formats.md.

#include "exact.hpp"

#include <zero/base/float16.hpp>
#include <zero/optim/formats.hpp>
#include <zero/optim/rule.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::optim::detail {

inline constexpr std::uint32_t magnitude_bits = 0x7fffffffU;
inline constexpr std::uint32_t infinity_bits = 0x7f800000U;

// ---- a weight as a bf16 parameter and 16 bits beside it ----------------------------------------

struct split_weight {
  bf16_t parameter;
  std::uint16_t remainder;
};

// The nearest bf16 and the weight's lower 16 bits. A tie goes towards zero: to every bf16 belong
// then exactly 2^16 weights, which 16 bits can tell apart; with ties to even it would be 2^16 + 1
// for the even ones. A NaN stays one.
[[nodiscard]] ZERO_HOST_DEVICE inline split_weight split(float weight) noexcept {
  const std::uint32_t bits = zero::detail::bits_of(weight);
  if ((bits & magnitude_bits) > infinity_bits) return {to_bf16(weight), 0};
  const std::uint32_t lower = bits & 0xffffU;
  const std::uint32_t upper = (bits >> 16) + (lower > 0x8000U ? 1U : 0U);
  return {{static_cast<std::uint16_t>(upper)}, static_cast<std::uint16_t>(lower)};
}

// The inverse. Of a parameter that somebody else wrote: a weight that it is the nearest to.
[[nodiscard]] ZERO_HOST_DEVICE inline float join(bf16_t parameter,
                                                 std::uint16_t remainder) noexcept {
  std::uint32_t bits = std::uint32_t{parameter.bits} << 16 | remainder;
  // Nothing is rounded up to zero, so there is nothing below it to come back to.
  if (remainder > 0x8000U && (parameter.bits & 0x7fffU) != 0) bits -= 0x10000U;
  return zero::detail::float_of(bits);
}

// ---- stochastic rounding -----------------------------------------------------------------------
// Up with the probability of what is cut off, down otherwise; what the type holds stays as it is.
// Beyond the largest finite number to nearest, for infinity has no distance. `bits` are random.

[[nodiscard]] ZERO_HOST_DEVICE inline bf16_t round_with(float value, std::uint16_t bits,
                                                        bf16_t /*type*/) noexcept {
  const std::uint32_t all = zero::detail::bits_of(value);
  if ((all & magnitude_bits) > 0x7f7f0000U) return to_bf16(value);
  return {static_cast<std::uint16_t>((all + bits) >> 16)};
}

[[nodiscard]] ZERO_HOST_DEVICE inline fp16_t round_with(float value, std::uint16_t bits,
                                                        fp16_t /*type*/) noexcept {
  const std::uint32_t all = zero::detail::bits_of(value);
  const std::uint32_t magnitude = all & magnitude_bits;
  if (magnitude > 0x477fe000U) return to_fp16(value);
  const std::uint32_t sign = (all >> 16) & 0x8000U;
  if (magnitude >= 0x38800000U) {  // normal in fp16: 13 bits are cut off
    const std::uint32_t half = (magnitude - 0x38000000U + (std::uint32_t{bits} >> 3)) >> 13;
    return {static_cast<std::uint16_t>(sign | half)};
  }
  const auto units = static_cast<std::uint32_t>(zero::detail::float_of(magnitude) * 0x1p40F);
  return {static_cast<std::uint16_t>(sign | (units + bits) >> 16)};
}

// ---- states in blocks of 8-bit codes -----------------------------------------------------------
// A code is a small floating-point number: 3 bits of mantissa below 5 bits of exponent, or below
// a sign and 4 bits; of the lowest exponent those numbers are multiples of the block's unit.

enum class code_kind : unsigned char {
  signed_values,  // of exp_avg and momentum_buffer
  squares,        // of exp_avg_sq and sum: never negative; what is not 0 does not become 0
};

// Of state 0 or 1 of an algorithm.
[[nodiscard]] ZERO_HOST_DEVICE constexpr code_kind kind_of(algorithm a, int state) noexcept {
  const bool second = (a == algorithm::adamw || a == algorithm::adam) && state == 1;
  return second || a == algorithm::adagrad ? code_kind::squares : code_kind::signed_values;
}

inline constexpr std::size_t code_block_bytes = format_block + sizeof(float);

[[nodiscard]] ZERO_HOST_DEVICE constexpr std::uint32_t largest_exponent(code_kind kind) noexcept {
  return kind == code_kind::squares ? 31 : 15;
}
[[nodiscard]] ZERO_HOST_DEVICE constexpr std::uint32_t largest_code_of(code_kind kind) noexcept {
  return kind == code_kind::squares ? 255 : 127;
}

struct code_scale {
  float unit = 0.0F;       // what code 1 means; NaN where the block is not finite
  float to_units = 0.0F;   // 2^16 / unit
  std::uint32_t base = 0;  // (code << 20) + base are the bits of codes from 8 on
};

[[nodiscard]] ZERO_HOST_DEVICE inline std::uint32_t base_of(float unit) noexcept {
  return zero::detail::bits_of(unit) + (2U << 23);
}

// `largest`: the largest of the block's magnitudes, as bits. It lies in the upper binade of the
// codes, unless it would be rounded beyond: then that binade is the next one.
[[nodiscard]] ZERO_HOST_DEVICE inline code_scale code_scale_of(std::uint32_t largest,
                                                               code_kind kind) noexcept {
  if (largest >= infinity_bits) return {zero::detail::float_of(0x7fc00000U), 0.0F, 0};
  std::uint32_t top = (largest + 0x0fffffU) >> 23;
  if (top < 50) top = 50;  // 2^16 / unit is a normal number, and so is the unit
  if (top > 254) top = 254;
  const std::uint32_t exponent = top - largest_exponent(kind) - 2;
  return {zero::detail::float_of(exponent << 23),
          zero::detail::float_of((254 + 16 - exponent) << 23), (exponent + 2) << 23};
}

// Of an element of a finite block; `bits` are random: rounded up with the probability of what is
// cut off, to within 2^-16.
[[nodiscard]] ZERO_HOST_DEVICE inline std::uint8_t code_with(float value, std::uint16_t bits,
                                                             const code_scale& scale,
                                                             code_kind kind) noexcept {
  const std::uint32_t all = zero::detail::bits_of(value);
  const std::uint32_t magnitude = all & magnitude_bits;
  const std::uint32_t parts =  // of 2^-16 of a code
      magnitude >= scale.base + (1U << 23)
          ? (magnitude - scale.base) >> 4
          : static_cast<std::uint32_t>(zero::detail::float_of(magnitude) * scale.to_units);
  std::uint32_t code = (parts + bits) >> 16;
  if (code > largest_code_of(kind)) code = largest_code_of(kind);
  if (kind == code_kind::squares) {
    return static_cast<std::uint8_t>(code == 0 && magnitude != 0 ? 1 : code);
  }
  return static_cast<std::uint8_t>(code | (all >> 24 & 0x80U));
}

[[nodiscard]] ZERO_HOST_DEVICE inline float value_of_code(std::uint8_t code, float unit,
                                                          code_kind kind) noexcept {
  const bool squares = kind == code_kind::squares;
  const std::uint32_t number = squares ? code : code & 0x7fU;
  const float value = number < 8 ? static_cast<float>(number) * unit
                                 : zero::detail::float_of((number << 20) + base_of(unit));
  const std::uint32_t sign = squares ? 0U : (code & 0x80U) << 24;
  return zero::detail::float_of(zero::detail::bits_of(value) | sign);
}

}  // namespace zero::optim::detail
