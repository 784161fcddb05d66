#pragma once
// The operations whose rounding the formulas depend on, the same on the host and on devices: each
// is rounded once, to nearest even, whatever the compiler was told.

#include <zero/base/host_device.hpp>

#include <cmath>

namespace zero::optim::detail {

// a * b + c, rounded once.
[[nodiscard]] ZERO_HOST_DEVICE inline float fused_multiply_add(float a, float b, float c) noexcept {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

[[nodiscard]] ZERO_HOST_DEVICE inline float square_root(float value) noexcept {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(value);
#else
  return std::sqrt(value);
#endif
}

[[nodiscard]] ZERO_HOST_DEVICE inline float quotient(float a, float b) noexcept {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}

[[nodiscard]] ZERO_HOST_DEVICE inline double square_root(double value) noexcept {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(value);
#else
  return std::sqrt(value);
#endif
}

[[nodiscard]] ZERO_HOST_DEVICE inline double quotient(double a, double b) noexcept {
#ifdef __CUDA_ARCH__
  return __ddiv_rn(a, b);
#else
  return a / b;
#endif
}

// Neither infinite nor NaN.
[[nodiscard]] ZERO_HOST_DEVICE inline bool is_finite(double value) noexcept {
  return value - value == 0.0;
}

}  // namespace zero::optim::detail
