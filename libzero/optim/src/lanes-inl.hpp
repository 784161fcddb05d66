// Pairs of fp32 vectors from and to memory of any dtype, and fused multiply-add, on the target that
// is being compiled. Included once for each target by the sources that name it to foreach_target.
//
// Bit for bit what zero/base/float16.hpp and std::fma give, on every target: processors without
// fp16 conversions or fused multiply-add take a lane at a time.

#if defined(ZERO_OPTIM_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef ZERO_OPTIM_LANES_INL_HPP
#undef ZERO_OPTIM_LANES_INL_HPP
#else
#define ZERO_OPTIM_LANES_INL_HPP
#endif
#undef ZERO_OPTIM_FP16_LANES

#include "fused.hpp"
#include "typed_elements.hpp"

#include <zero/base/float16.hpp>

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace zero::optim {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using lanes = hn::ScalableTag<float>;
using floats = hn::Vec<lanes>;
// Elements of a pair of vectors, at most; what part of a pair is padded to.
constexpr std::size_t pair_capacity = 2 * hn::MaxLanes(lanes());

// a * b + c, rounded once.
HWY_INLINE floats fused(lanes d, floats a, floats b, floats c) {
#if HWY_NATIVE_FMA
  (void)d;
  return hn::MulAdd(a, b, c);
#else
  constexpr std::size_t n = hn::MaxLanes(lanes());
  HWY_ALIGN float x[n], y[n], z[n];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) z[i] = detail::fused(x[i], y[i], z[i]);
  return hn::Load(d, z);
#endif
}

// ---- load ------------------------------------------------------------------------------------

// D: a tag of fp32, of any number of lanes.

template <class D>
HWY_INLINE hn::Vec<D> load_lanes(D d, const float* from) {
  return hn::LoadU(d, from);
}

template <class D>
HWY_INLINE hn::Vec<D> load_lanes(D d, const bf16_t* from) {
  const hn::Rebind<std::uint16_t, D> d16;
  const hn::RebindToUnsigned<D> d32;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
#define ZERO_OPTIM_FP16_LANES 1  // F16C; float16.hpp says what it does to NaN
#else
#define ZERO_OPTIM_FP16_LANES 0
#endif

template <class D>
HWY_INLINE hn::Vec<D> load_lanes(D d, const fp16_t* from) {
#if ZERO_OPTIM_FP16_LANES
  const hn::Rebind<std::uint16_t, D> d16;
  const hn::Rebind<hwy::float16_t, D> d_half;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(from));
  return hn::PromoteTo(d, hn::BitCast(d_half, bits));
#else
  HWY_ALIGN float wide[hn::MaxLanes(D())];
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) wide[i] = to_float(from[i]);
  return hn::Load(d, wide);
#endif
}

// ---- store -----------------------------------------------------------------------------------
// `to` must be aligned to a vector's bytes when Streaming, which goes around the caches.

template <bool Streaming, class D>
HWY_INLINE void store_vector(D d, hn::Vec<D> v, hn::TFromD<D>* to) {
  if constexpr (Streaming) {
    hn::Stream(v, d, to);
  } else {
    hn::StoreU(v, d, to);
  }
}

template <bool Streaming>
HWY_INLINE void store_pair(lanes d, floats lo, floats hi, float* to) {
  store_vector<Streaming>(d, lo, to);
  store_vector<Streaming>(d, hi, to + hn::Lanes(d));
}

#if HWY_TARGET == HWY_SCALAR || !ZERO_OPTIM_FP16_LANES
template <class T>
HWY_INLINE void store_each_lane(lanes d, floats lo, floats hi, T* to) {
  HWY_ALIGN float wide[pair_capacity];
  hn::Store(lo, d, wide);
  hn::Store(hi, d, wide + hn::Lanes(d));
  for (std::size_t i = 0; i < 2 * hn::Lanes(d); ++i) detail::assign(to[i], wide[i]);
}
#endif

// The upper 16 bits of each lane are the nearest bf16, ties to even.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<lanes>> rounded_to_bf16(lanes d, floats v) {
  const hn::RebindToUnsigned<lanes> d32;
  const auto bits = hn::BitCast(d32, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
  const auto nearest = hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fff)));
  const auto quiet = hn::Or(bits, hn::Set(d32, 0x00400000));
  (void)d;
  return hn::IfThenElse(hn::RebindMask(d32, hn::IsNaN(v)), quiet, nearest);
}

template <bool Streaming>
HWY_INLINE void store_pair(lanes d, floats lo, floats hi, bf16_t* to) {
#if HWY_TARGET == HWY_SCALAR
  store_each_lane(d, lo, hi, to);
#else
  const hn::Repartition<std::uint16_t, lanes> d16;
  const auto packed = hn::ConcatOdd(d16, hn::BitCast(d16, rounded_to_bf16(d, hi)),
                                    hn::BitCast(d16, rounded_to_bf16(d, lo)));
  store_vector<Streaming>(d16, packed, reinterpret_cast<std::uint16_t*>(to));
#endif
}

template <bool Streaming>
HWY_INLINE void store_pair(lanes d, floats lo, floats hi, fp16_t* to) {
#if ZERO_OPTIM_FP16_LANES
  const hn::Rebind<hwy::float16_t, lanes> d_half;
  const hn::Rebind<std::uint16_t, lanes> d16_half;
  const hn::Repartition<std::uint16_t, lanes> d16;
  const auto packed = hn::Combine(d16, hn::BitCast(d16_half, hn::DemoteTo(d_half, hi)),
                                  hn::BitCast(d16_half, hn::DemoteTo(d_half, lo)));
  store_vector<Streaming>(d16, packed, reinterpret_cast<std::uint16_t*>(to));
#else
  store_each_lane(d, lo, hi, to);
#endif
}

// ---- ranges ----------------------------------------------------------------------------------

// Elements before `to` is aligned for a streaming store_pair.
template <class T>
HWY_INLINE std::size_t misaligned_head(lanes d, const T* to) {
  const std::size_t bytes = hn::Lanes(d) * sizeof(float);
  const std::size_t beyond = reinterpret_cast<std::uintptr_t>(to) % bytes;
  return beyond == 0 ? 0 : (bytes - beyond) / sizeof(T);
}

// Runs `pass` over `count` elements: pass.pair<Streaming>(d, i) for the pair of vectors that starts
// at element i, pass.partial(d, i, n) for n elements, fewer than a pair. `to` is what a streaming
// pass writes.
template <bool Streaming, class Pass, class T>
HWY_INLINE void for_pairs(lanes d, const Pass& pass, std::size_t count, const T* to) {
  const std::size_t pair = 2 * hn::Lanes(d);
  std::size_t i = 0;
  if constexpr (Streaming) {
    i = HWY_MIN(misaligned_head(d, to), count);
    if (i > 0) pass.partial(d, 0, i);
  }
  for (; i + pair <= count; i += pair) pass.template pair<Streaming>(d, i);
  if (i < count) pass.partial(d, i, count - i);
  if constexpr (Streaming) hwy::FlushStream();
}

// Up to a pair of elements, copied so that a whole pair can be loaded and stored.
template <class T>
struct padded_pair {
  HWY_INLINE padded_pair(const T* from, std::size_t n) {
    if (n > 0) std::memcpy(elements, from, n * sizeof(T));
  }
  HWY_INLINE void copy_to(T* to, std::size_t n) const { std::memcpy(to, elements, n * sizeof(T)); }
  T elements[pair_capacity] = {};
};

}  // namespace HWY_NAMESPACE
}  // namespace zero::optim
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
