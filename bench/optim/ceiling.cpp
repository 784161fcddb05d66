#include "ceiling.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "optim/ceiling.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace zero::bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void read_modify_write_on_target(const stream* streams, int count, std::uint32_t mask) {
  const hn::ScalableTag<std::uint32_t> d;
  const auto pattern = hn::Set(d, mask);
  const std::size_t rounds = streams[0].bytes / streams[0].step;
  for (std::size_t round = 0; round < rounds; ++round) {
    for (int s = 0; s < count; ++s) {
      const std::size_t words = streams[s].step / 4;
      auto* at = static_cast<std::uint32_t*>(streams[s].data) + round * words;
      for (std::size_t i = 0; i < words; i += hn::Lanes(d)) {
        hn::StoreU(hn::Xor(hn::LoadU(d, at + i), pattern), d, at + i);
      }
    }
  }
}

std::uint32_t read_all_on_target(const void* data, std::size_t bytes) {
  const hn::ScalableTag<std::uint32_t> d;
  const auto* at = static_cast<const std::uint32_t*>(data);
  auto even = hn::Zero(d);
  auto odd = hn::Zero(d);
  const std::size_t words = bytes / 4;
  for (std::size_t i = 0; i < words; i += 2 * hn::Lanes(d)) {
    even = hn::Xor(even, hn::LoadU(d, at + i));
    odd = hn::Xor(odd, hn::LoadU(d, at + i + hn::Lanes(d)));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Xor(even, odd)));
}

void scale_on_target(float* values, std::size_t count, float factor) {
  const hn::ScalableTag<float> d;
  const auto by = hn::Set(d, factor);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    hn::StoreU(hn::Mul(hn::LoadU(d, values + i), by), d, values + i);
  }
  for (; i < count; ++i) values[i] *= factor;
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::bench {

HWY_EXPORT(read_modify_write_on_target);
HWY_EXPORT(read_all_on_target);
HWY_EXPORT(scale_on_target);

void read_modify_write(const stream* streams, int count, std::uint32_t mask) {
  HWY_DYNAMIC_DISPATCH(read_modify_write_on_target)(streams, count, mask);
}

std::uint32_t read_all(const void* data, std::size_t bytes) {
  return HWY_DYNAMIC_DISPATCH(read_all_on_target)(data, bytes);
}

void scale(float* values, std::size_t count, float factor) {
  HWY_DYNAMIC_DISPATCH(scale_on_target)(values, count, factor);
}

}  // namespace zero::bench
#endif  // HWY_ONCE
