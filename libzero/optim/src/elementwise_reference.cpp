#include "elementwise_check.hpp"
#include "typed_elements.hpp"

#include <zero/optim/elementwise.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

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

void scale_reference(typed_span values, float factor) {
  detail::check_values(values);
  for (std::size_t i = 0; i < values.count; ++i) {
    detail::store(values, i, detail::load(values, i) * factor);
  }
}

double sum_of_squares_reference(const_typed_span values) {
  detail::check_values(values);
  std::vector<double> sums;  // of the blocks, then of their pairs
  for (std::size_t begin = 0; begin < values.count; begin += 2048) {
    std::array<double, 32> partial{};
    for (std::size_t i = begin; i < std::min(begin + 2048, values.count); ++i) {
      const double value = detail::load(values, i);
      partial[i % 32] += value * value;  // the product is exact: 2 * 24 bits fit in 53
    }
    for (std::size_t width = 16; width > 0; width /= 2) {
      for (std::size_t i = 0; i < width; ++i) partial[i] += partial[i + width];
    }
    sums.push_back(partial[0]);
  }
  for (; sums.size() > 1; sums.resize((sums.size() + 1) / 2)) {
    for (std::size_t i = 0; i < sums.size(); i += 2) {
      sums[i / 2] = i + 1 < sums.size() ? sums[i] + sums[i + 1] : sums[i];
    }
  }
  return sums.empty() ? 0.0 : sums[0];
}

}  // namespace zero::optim
