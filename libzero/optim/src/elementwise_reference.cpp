#include "elementwise_check.hpp"
#include "typed_elements.hpp"

#include <zero/optim/elementwise.hpp>

#include <array>
#include <cstring>

namespace zero::optim {

void convert_reference(const_typed_span in, typed_span out) {
  detail::check_pair(in, out);
  if (in.type == out.type) {
    if (in.count > 0) std::memmove(out.data, in.data, in.bytes());
    return;
  }
  for (std::size_t i = 0; i < in.count; ++i) detail::store(out, i, detail::load(in, i));
}

void accumulate_reference(const_typed_span in, typed_span out) {
  detail::check_pair(in, out);
  for (std::size_t i = 0; i < in.count; ++i) {
    detail::store(out, i, detail::load(out, i) + detail::load(in, i));
  }
}

double sum_of_squares_reference(const_typed_span values) {
  detail::check_values(values);
  std::array<double, 16> partial{};
  for (std::size_t i = 0; i < values.count; ++i) {
    const double value = detail::load(values, i);
    partial[i % 16] += value * value;  // the product is exact: 2 * 24 bits fit in 53
  }
  for (std::size_t width = 8; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) partial[i] += partial[i + width];
  }
  return partial[0];
}

}  // namespace zero::optim
