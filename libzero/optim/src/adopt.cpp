#include "elementwise_check.hpp"
#include "typed_elements.hpp"

#include <zero/base/float16.hpp>
#include <zero/optim/elementwise.hpp>

namespace zero::optim {
namespace {

bool rounds_to(float wide, float value) {
  return zero::detail::bits_of(wide) == zero::detail::bits_of(value);
}
bool rounds_to(float wide, bf16_t value) { return to_bf16(wide).bits == value.bits; }
bool rounds_to(float wide, fp16_t value) { return to_fp16(wide).bits == value.bits; }

}  // namespace

void adopt(const_typed_span in, float* master) {
  detail::check_values(in);
  detail::with_type(in.type, in.data, [&](const auto* values) {
    for (std::size_t i = 0; i < in.count; ++i) {
      if (!rounds_to(master[i], values[i])) master[i] = to_float(values[i]);
    }
  });
}

}  // namespace zero::optim
