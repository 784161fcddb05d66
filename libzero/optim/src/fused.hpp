#pragma once
// Fused multiply-add for processors that have none, exact and without a call into the C library.

#include <cstdint>
#include <cstring>

namespace zero::optim::detail {

// a * b + c, rounded once. The product is exact in fp64; the sum is rounded to odd there, which
// keeps what the final rounding to fp32 needs to know (Boldo and Melquiond, "Emulation of a FMA and
// correctly rounded sums", 2008: enough when 53 >= 2 * 24 + 2).
[[nodiscard]] inline float fused(float a, float b, float c) noexcept {
  const double product = double{a} * double{b};
  const double addend = c;
  double sum = product + addend;
  const double of_addend = sum - product;  // the error of the sum, exactly (Knuth's TwoSum)
  const double lost = (product - (sum - of_addend)) + (addend - of_addend);
  if (lost > 0 || lost < 0) {  // neither for an exact sum, nor for infinities and NaN
    std::uint64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    if ((bits & 1) == 0) bits += (lost > 0) == (sum > 0) ? 1 : std::uint64_t(-1);
    std::memcpy(&sum, &bits, sizeof sum);
  }
  return static_cast<float>(sum);
}

}  // namespace zero::optim::detail
