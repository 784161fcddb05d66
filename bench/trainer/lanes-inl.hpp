// Loops over floats for Highway code: whole vectors, then single lanes. Included once a target, in
// the manner of Highway's own -inl headers, which is why there is no #pragma once.

#include <cstddef>

#if defined(ZERO_TRAINER_LANES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ZERO_TRAINER_LANES_INL
#undef ZERO_TRAINER_LANES_INL
#else
#define ZERO_TRAINER_LANES_INL
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace zero::trainer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Calls body(tag, i) once for every run of lanes [i, i + Lanes(tag)); the runs cover [0, count).
template <typename Body>
HWY_INLINE void for_each(std::size_t count, const Body& body) {
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 1> single;
  const std::size_t lanes = hn::Lanes(wide);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) body(wide, i);
  for (; i < count; ++i) body(single, i);
}

// Sum of term(tag, i): one partial sum a lane, then over the lanes, then the rest in order.
template <typename Term>
HWY_INLINE float sum(std::size_t count, const Term& term) {
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 1> single;
  const std::size_t lanes = hn::Lanes(wide);
  auto partial = hn::Zero(wide);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) partial = hn::Add(partial, term(wide, i));
  float total = hn::GetLane(hn::SumOfLanes(wide, partial));
  for (; i < count; ++i) total += hn::GetLane(term(single, i));
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::trainer
HWY_AFTER_NAMESPACE();

#endif
