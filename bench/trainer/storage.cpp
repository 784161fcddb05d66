#include "trainer/storage.hpp"

#include <zero/base/float16.hpp>

#include <cstring>

namespace zero::trainer {

namespace {

float narrow(float value, float) noexcept { return value; }
bf16_t narrow(float value, bf16_t) noexcept { return to_bf16(value); }
fp16_t narrow(float value, fp16_t) noexcept { return to_fp16(value); }

template <typename Element>
void widen_elements(const Element* values, std::size_t count, float* out) noexcept {
  for (std::size_t i = 0; i < count; ++i) out[i] = to_float(values[i]);
}

template <typename Element>
void add_elements(const float* values, std::size_t count, Element* out) noexcept {
  for (std::size_t i = 0; i < count; ++i) out[i] = narrow(to_float(out[i]) + values[i], Element{});
}

}  // namespace

void widen(const_typed_span values, float* out) {
  if (values.count == 0) return;
  switch (values.type) {
    case dtype::bf16:
      return widen_elements(static_cast<const bf16_t*>(values.data), values.count, out);
    case dtype::fp16:
      return widen_elements(static_cast<const fp16_t*>(values.data), values.count, out);
    default:
      std::memcpy(out, values.data, values.bytes());
  }
}

const float* as_fp32(const_typed_span values, float* room) {
  if (values.type == dtype::fp32) return static_cast<const float*>(values.data);
  widen(values, room);
  return room;
}

void add(const float* values, typed_span out) {
  if (out.data == nullptr) return;
  switch (out.type) {
    case dtype::bf16:
      return add_elements(values, out.count, static_cast<bf16_t*>(out.data));
    case dtype::fp16:
      return add_elements(values, out.count, static_cast<fp16_t*>(out.data));
    default:
      return add_elements(values, out.count, static_cast<float*>(out.data));
  }
}

}  // namespace zero::trainer
