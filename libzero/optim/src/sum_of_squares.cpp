#include <zero/optim/elementwise.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sum_of_squares.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "elementwise_check.hpp"
#include "lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace zero::optim {
namespace HWY_NAMESPACE {

using doubles_tag = hn::CappedTag<double, 8>;
using doubles = hn::Vec<doubles_tag>;

// partial += the squares of 16 elements. A square of an fp32 number is exact in fp64, so it does
// not matter whether the addition is fused with it.
template <class T>
HWY_INLINE void add_squares_of_16(const T* from, double* HWY_RESTRICT partial) {
  const lanes d;
  HWY_ALIGN float wide[16 + pair_capacity];
  for (std::size_t i = 0; i < 16; i += hn::Lanes(d))
    hn::Store(load_lanes(d, from + i), d, wide + i);
  for (std::size_t i = 0; i < 16; ++i) partial[i] += double{wide[i]} * double{wide[i]};
}

template <class T>
double sum_of(const T* values, std::size_t count) {
  HWY_ALIGN double partial[16] = {};
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) add_squares_of_16(values + i, partial);
  for (std::size_t j = 0; i + j < count; ++j) {
    const double value = to_float(values[i + j]);
    partial[j] += value * value;
  }
  for (std::size_t width = 8; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) partial[j] += partial[j + width];
  }
  return partial[0];
}

double sum_of_squares_on_target(const const_typed_span& values) {
  double sum = 0.0;
  detail::with_type(values.type, values.data,
                    [&](const auto* elements) { sum = sum_of(elements, values.count); });
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::optim
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::optim {

HWY_EXPORT(sum_of_squares_on_target);

double sum_of_squares(const_typed_span values) {
  detail::check_values(values);
  return HWY_DYNAMIC_DISPATCH(sum_of_squares_on_target)(values);
}

}  // namespace zero::optim
#endif  // HWY_ONCE
