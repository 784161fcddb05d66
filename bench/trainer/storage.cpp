#include "trainer/storage.hpp"

#include <zero/optim/elementwise.hpp>

namespace zero::trainer {

void widen(const_typed_span values, float* out) {
  optim::convert(values, {out, values.count, dtype::fp32});
}

const float* as_fp32(const_typed_span values, float* room) {
  if (values.type == dtype::fp32) return static_cast<const float*>(values.data);
  widen(values, room);
  return room;
}

void add(const float* values, typed_span out) {
  if (out.data == nullptr) return;
  optim::accumulate({values, out.count, dtype::fp32}, out);
}

}  // namespace zero::trainer
