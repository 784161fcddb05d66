#pragma once
// One element of a typed span as fp32, in and out; and the dispatch from a dtype to its type.

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>
#include <zero/base/typed_span.hpp>

#include <cstddef>
#include <string>

namespace zero::optim::detail {

ZERO_HOST_DEVICE inline void assign(float& to, float value) noexcept { to = value; }
ZERO_HOST_DEVICE inline void assign(bf16_t& to, float value) noexcept { to = to_bf16(value); }
ZERO_HOST_DEVICE inline void assign(fp16_t& to, float value) noexcept { to = to_fp16(value); }

// Whether `wide`, rounded to the type of `value`, is `value` bit for bit.
[[nodiscard]] ZERO_HOST_DEVICE inline bool rounds_to(float wide, float value) noexcept {
  return zero::detail::bits_of(wide) == zero::detail::bits_of(value);
}
[[nodiscard]] ZERO_HOST_DEVICE inline bool rounds_to(float wide, bf16_t value) noexcept {
  return to_bf16(wide).bits == value.bits;
}
[[nodiscard]] ZERO_HOST_DEVICE inline bool rounds_to(float wide, fp16_t value) noexcept {
  return to_fp16(wide).bits == value.bits;
}

// Calls f(pointer) with `data` as a pointer to the type of `type`, const as `data` is.
template <typename F>
void with_type(dtype type, const void* data, const F& f) {
  switch (type) {
    case dtype::fp32:
      return f(static_cast<const float*>(data));
    case dtype::bf16:
      return f(static_cast<const bf16_t*>(data));
    case dtype::fp16:
      return f(static_cast<const fp16_t*>(data));
    case dtype::byte:
      break;
  }
  throw invalid_argument("[optim] dtype byte cannot be computed with");
}
template <typename F>
void with_type(dtype type, void* data, const F& f) {
  with_type(type, static_cast<const void*>(data),
            [&]<typename T>(const T* elements) { f(const_cast<T*>(elements)); });
}

[[nodiscard]] inline float load(const const_typed_span& values, std::size_t i) {
  float value = 0.0F;
  with_type(values.type, values.data, [&](const auto* elements) { value = to_float(elements[i]); });
  return value;
}

inline void store(const typed_span& values, std::size_t i, float value) {
  with_type(values.type, values.data, [&](auto* elements) { assign(elements[i], value); });
}

}  // namespace zero::optim::detail
