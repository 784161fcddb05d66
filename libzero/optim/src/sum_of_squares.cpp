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

// A block, whole or not.
template <class T>
double sum_of_part(const T* values, std::size_t count) {
  double partial[partials] = {};
  for (std::size_t i = 0; i < count; ++i) {
    const double value = to_float(values[i]);
    partial[i % partials] += value * value;
  }
  return detail::fold_partials(partial, partials);
}

// A whole block. A square of an fp32 number is exact in fp64, so it does not matter whether it is
// fused with the addition.
template <class T>
HWY_INLINE double sum_of_block(const T* values) {
#if HWY_HAVE_SCALABLE  // vectors that no array can hold
  return sum_of_part(values, detail::sum_block);
#else
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> d32;
  constexpr std::size_t lane_count = hn::MaxLanes(d);
  constexpr std::size_t vectors = partials / lane_count;
  hn::Vec<decltype(d)> sums[vectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (std::size_t i = 0; i < detail::sum_block; i += partials) {
    for (std::size_t s = 0; s < vectors; ++s) {
      const auto wide = hn::PromoteTo(d, load_lanes(d32, values + i + s * lane_count));
      // Not MulAdd: only the addition waits for the last one, and it takes fewer cycles.
      sums[s] = hn::Add(sums[s], hn::Mul(wide, wide));
    }
  }
  for (std::size_t half = vectors / 2; half > 0; half /= 2) {
    for (std::size_t s = 0; s < half; ++s) sums[s] = hn::Add(sums[s], sums[s + half]);
  }
  HWY_ALIGN double last[lane_count];
  hn::Store(sums[0], d, last);
  return detail::fold_partials(last, lane_count);
#endif
}

template <class T>
double sum_of(const T* values, std::size_t count) {
  detail::pairwise_sum blocks;
  std::size_t begin = 0;
  for (; count - begin >= detail::sum_block; begin += detail::sum_block) {
    blocks.add(sum_of_block(values + begin));
  }
  if (begin < count) blocks.add(sum_of_part(values + begin, count - begin));
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

double join_sums_of_squares(span<const double> sums) noexcept {
  detail::pairwise_sum joined;
  for (const double sum : sums) joined.add(sum);
  return joined.total();
}

}  // namespace zero::optim
#endif  // HWY_ONCE
