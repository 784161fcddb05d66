#pragma once
// bf16_t and fp16_t: 16-bit storage formats with exact widening and round-to-nearest-even
// narrowing. The scalar conversions here are the reference that every vector path must equal bit
// for bit. NaN stays NaN (quiet, sign and upper payload kept); denormals are kept, not flushed;
// fp16 overflows to infinity. The same functions serve devices.

#include <zero/base/host_device.hpp>

#include <cstdint>
#include <cstring>

#pragma GCC visibility push(default)
namespace zero {

struct bf16_t {
  std::uint16_t bits = 0;
};
struct fp16_t {
  std::uint16_t bits = 0;
};

namespace detail {
[[nodiscard]] ZERO_HOST_DEVICE inline std::uint32_t bits_of(float value) noexcept {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
[[nodiscard]] ZERO_HOST_DEVICE inline float float_of(std::uint32_t bits) noexcept {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
}  // namespace detail

[[nodiscard]] ZERO_HOST_DEVICE inline float to_float(float value) noexcept { return value; }

[[nodiscard]] ZERO_HOST_DEVICE inline float to_float(bf16_t value) noexcept {
  return detail::float_of(std::uint32_t{value.bits} << 16);
}

[[nodiscard]] ZERO_HOST_DEVICE inline bf16_t to_bf16(float value) noexcept {
  const std::uint32_t bits = detail::bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return {static_cast<std::uint16_t>((bits >> 16) | 0x0040u)};
  }
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

[[nodiscard]] ZERO_HOST_DEVICE inline float to_float(fp16_t value) noexcept {
  const std::uint32_t sign = std::uint32_t{value.bits & 0x8000u} << 16;
  const std::uint32_t magnitude = value.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // infinity or NaN; hardware quiets NaN as it widens
    const std::uint32_t payload = (magnitude & 0x3ffu) << 13;
    return detail::float_of(sign | 0x7f800000u | payload | (payload ? 0x00400000u : 0u));
  }
  if (magnitude >= 0x0400u) return detail::float_of(sign | ((magnitude << 13) + 0x38000000u));
  const float denormal = static_cast<float>(magnitude) * 0x1p-24f;  // exact
  return detail::float_of(sign | detail::bits_of(denormal));
}

[[nodiscard]] ZERO_HOST_DEVICE inline fp16_t to_fp16(float value) noexcept {
  const std::uint32_t bits = detail::bits_of(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {  // rounds to 2^16 or more
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // normal in fp16
    half = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  } else {  // denormal in fp16: adding 2^-1 rounds at bit 2^-24 in hardware's own RNE
    half = detail::bits_of(detail::float_of(magnitude) + 0.5f) - 0x3f000000u;
  }
  return {static_cast<std::uint16_t>(sign | half)};
}

}  // namespace zero
#pragma GCC visibility pop
