#pragma once
// storage: parameters of any dtype as fp32 operands, and fp32 results into gradients of any dtype.
//
// Pure, thread-safe on disjoint memory. dtype byte is not accepted (checked by gpt).

#include <zero/base/typed_span.hpp>

namespace zero::trainer {

// out[i] = values[i], exactly.
void widen(const_typed_span values, float* out);

// values as fp32: themselves if that is what they are, else `room` after widening into it.
[[nodiscard]] const float* as_fp32(const_typed_span values, float* room);

// out[i] += values[i], added in fp32 and rounded once. Nothing if out.data is null.
void add(const float* values, typed_span out);

}  // namespace zero::trainer
