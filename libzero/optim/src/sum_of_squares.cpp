#include "compiled_targets.hpp"

#include <zero/optim/elementwise.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sum_of_squares.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "elementwise_check.hpp"
#include "lanes-inl.hpp"
#include "pairwise_sum.hpp"

HWY_BEFORE_NAMESPACE();
namespace zero::optim {
namespace HWY_NAMESPACE {

constexpr std::size_t partials = detail::sum_partials;

// Adds the squares of the 16-element groups that `count` holds whole to partial[element mod 16]. A
// square of an fp32 number is exact in fp64, so it does not matter whether it is fused with the
// addition.
template <class T>
void add_whole_groups(const T* values, std::size_t count, double* HWY_RESTRICT partial) {
#if HWY_HAVE_SCALABLE  // vectors that no array can hold
  for (std::size_t i = 0; i < count / partials * partials; ++i) {
    const double value = to_float(values[i]);
    partial[i % partials] += value * value;
  }
#else
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> d32;
  constexpr std::size_t lane_count = hn::MaxLanes(d);
  hn::Vec<decltype(d)> sums[partials / lane_count];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (std::size_t i = 0; i + partials <= count; i += partials) {
    for (std::size_t s = 0; s < partials / lane_count; ++s) {
      const auto wide = hn::PromoteTo(d, load_lanes(d32, values + i + s * lane_count));
      // Not MulAdd: only the addition waits for the last one, and it takes fewer cycles.
      sums[s] = hn::Add(sums[s], hn::Mul(wide, wide));
    }
  }
  for (std::size_t s = 0; s < partials / lane_count; ++s) {
    hn::StoreU(sums[s], d, partial + s * lane_count);
  }
#endif
}

template <class T>
double sum_of_block(const T* values, std::size_t count) {
  double partial[partials] = {};
  add_whole_groups(values, count, partial);
  for (std::size_t i = count / partials * partials; i < count; ++i) {
    const double value = to_float(values[i]);
    partial[i % partials] += value * value;
  }
  return detail::fold_partials(partial);
}

template <class T>
double sum_of(const T* values, std::size_t count) {
  detail::pairwise_sum blocks;
  for (std::size_t i = 0; i < count; i += detail::sum_block) {
    blocks.add(sum_of_block(values + i, HWY_MIN(count - i, detail::sum_block)));
  }
  return blocks.total();
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
