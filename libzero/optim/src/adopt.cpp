#include "elementwise_check.hpp"
#include "typed_elements.hpp"

#include <zero/base/float16.hpp>
#include <zero/optim/elementwise.hpp>

namespace zero::optim {
void adopt(const_typed_span in, float* master) {
  detail::check_values(in);
  detail::with_type(in.type, in.data, [&](const auto* values) {
    for (std::size_t i = 0; i < in.count; ++i) {
      if (!detail::rounds_to(master[i], values[i])) master[i] = to_float(values[i]);
    }
  });
}

}  // namespace zero::optim
