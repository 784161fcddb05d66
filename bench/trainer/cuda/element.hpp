#pragma once
// element: what an activation, a parameter or a gradient is made of (float, bf16_t, fp16_t), and
// fp32 arithmetic around it. The same bits on the host and on a device, but for the NaN that a
// narrowing makes. Pure.

#include "trainer/cuda/host_device.hpp"

#include <zero/base/dtype.hpp>
#include <zero/base/float16.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace zero::trainer::cuda {

template <typename Element>
inline constexpr dtype dtype_of = std::is_same_v<Element, float>    ? dtype::fp32
                                  : std::is_same_v<Element, bf16_t> ? dtype::bf16
                                                                    : dtype::fp16;

ZERO_TRAINER_BOTH float widened(float value) { return value; }

ZERO_TRAINER_BOTH float widened(bf16_t value) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
#else
  return to_float(value);
#endif
}

ZERO_TRAINER_BOTH float widened(fp16_t value) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(value.bits));
#else
  return to_float(value);
#endif
}

// Rounded to nearest even.
ZERO_TRAINER_BOTH void narrow(float value, float& out) { out = value; }

ZERO_TRAINER_BOTH void narrow(float value, bf16_t& out) {
#if defined(__CUDA_ARCH__)
  out.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
  out = to_bf16(value);
#endif
}

ZERO_TRAINER_BOTH void narrow(float value, fp16_t& out) {
#if defined(__CUDA_ARCH__)
  out.bits = __half_as_ushort(__float2half_rn(value));
#else
  out = to_fp16(value);
#endif
}

// Two neighbours in one register: the one at the lower address in the lower half.
template <typename Element>
ZERO_TRAINER_BOTH std::uint32_t packed(float low, float high) {
#if defined(__CUDA_ARCH__)
  if constexpr (std::is_same_v<Element, bf16_t>) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&both);
  }
#endif
  Element a, b;
  narrow(low, a);
  narrow(high, b);
  return static_cast<std::uint32_t>(a.bits) | static_cast<std::uint32_t>(b.bits) << 16;
}

// Neighbours that one instruction moves; Width * sizeof(Element) is at most 16 bytes.
template <typename Element, int Width>
struct alignas(sizeof(Element) * Width) pack {
  Element values[Width];
};

template <typename Element>
inline constexpr int full_width = static_cast<int>(16 / sizeof(Element));

template <int Width, typename Element>
ZERO_TRAINER_BOTH pack<Element, Width> load(const Element* from) {
  return *reinterpret_cast<const pack<Element, Width>*>(from);
}

template <typename Element, int Width>
ZERO_TRAINER_BOTH void store(const pack<Element, Width>& values, Element* to) {
  *reinterpret_cast<pack<Element, Width>*>(to) = values;
}

// a * b + c, rounded once.
ZERO_TRAINER_BOTH float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

// exp(x), x <= 0 or so: the device's own, 2 ulp and faster than the exact one.
ZERO_TRAINER_BOTH float exponential(float x) {
#if defined(__CUDA_ARCH__)
  return __expf(x);
#else
  return std::exp(x);
#endif
}

// The tanh form of GELU, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x / (1 + exp(-2u)).
inline constexpr float gelu_scale = 0.7978845608028654f;  // sqrt(2 / pi)
inline constexpr float gelu_cubic = 0.044715f;

// exp(-2u), held below infinity so that products with 1 / (1 + e) stay numbers.
ZERO_TRAINER_BOTH float gelu_exponential(float x) {
  const float e = -2.0f * gelu_scale * x * fused(x * x, gelu_cubic, 1.0f);
  return exponential(e < 80.0f ? e : 80.0f);
}

ZERO_TRAINER_BOTH float gelu_of(float x) { return x / (1.0f + gelu_exponential(x)); }

// With s = 1 / (1 + e): s + x 2u' s (1 - s), and 1 - s = e s.
ZERO_TRAINER_BOTH float gelu_slope(float x) {
  const float e = gelu_exponential(x);
  const float s = 1.0f / (1.0f + e);
  const float slope = 2.0f * gelu_scale * fused(x * x, 3.0f * gelu_cubic, 1.0f);
  return fused(x * slope, e * s * s, s);
}

}  // namespace zero::trainer::cuda
