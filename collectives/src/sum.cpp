#include "sum.hpp"

#include <zero/base/float16.hpp>

// Compiled once for every instruction set Highway knows here, chosen when it runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sum.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace zero::collectives::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using floats = hn::ScalableTag<float>;
using words = hn::RebindToUnsigned<floats>;
using halves = hn::Rebind<std::uint16_t, floats>;
using vector = hn::Vec<floats>;

// ---- to and from memory: the reference conversions of float16.hpp, lane by lane ---------------

HWY_INLINE vector load(floats d, const float* from) { return hn::LoadU(d, from); }
HWY_INLINE void store(floats d, vector v, float* to) { hn::StoreU(v, d, to); }

HWY_INLINE vector load(floats d, const bf16_t* from) {
  const auto bits = hn::LoadU(halves(), reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(words(), bits)));
}

// The low 16 bits of each word; the others are 0.
HWY_INLINE hn::Vec<halves> low_halves(hn::Vec<words> bits) {
  const hn::RebindToSigned<floats> integers;
  return hn::DemoteTo(halves(), hn::BitCast(integers, bits));
}

HWY_INLINE hn::Vec<halves> round_to(floats, vector v, const bf16_t*) {
  const words w;
  const auto bits = hn::BitCast(w, v);
  const auto top = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(top, hn::Set(w, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(w, 0x7fff)), odd));
  const auto quiet = hn::Or(top, hn::Set(w, 0x0040));
  const auto magnitude = hn::And(bits, hn::Set(w, 0x7fffffff));
  const auto is_nan = hn::Gt(magnitude, hn::Set(w, 0x7f800000));
  return low_halves(hn::IfThenElse(is_nan, quiet, rounded));
}

#if HWY_ARCH_X86 && HWY_TARGET < HWY_SSE4 && !defined(HWY_DISABLE_F16C)

using hardware_halves = hn::Rebind<hwy::float16_t, floats>;

HWY_INLINE vector load(floats d, const fp16_t* from) {
  const auto bits = hn::LoadU(halves(), reinterpret_cast<const std::uint16_t*>(from));
  return hn::PromoteTo(d, hn::BitCast(hardware_halves(), bits));
}

HWY_INLINE hn::Vec<halves> round_to(floats, vector v, const fp16_t*) {
  return hn::BitCast(halves(), hn::DemoteTo(hardware_halves(), v));
}

#else

HWY_INLINE vector load(floats d, const fp16_t* from) {
  const words w;
  const hn::RebindToSigned<floats> integers;
  const auto bits =
      hn::PromoteTo(w, hn::LoadU(halves(), reinterpret_cast<const std::uint16_t*>(from)));
  const auto magnitude = hn::And(bits, hn::Set(w, 0x7fff));
  const auto sign = hn::ShiftLeft<16>(hn::Sub(bits, magnitude));
  const auto shifted = hn::ShiftLeft<13>(magnitude);
  const auto normal = hn::Add(shifted, hn::Set(w, 0x38000000));
  const auto denormal = hn::BitCast(
      w, hn::Mul(hn::ConvertTo(d, hn::BitCast(integers, magnitude)), hn::Set(d, 0x1p-24f)));
  const auto is_nan = hn::Gt(magnitude, hn::Set(w, 0x7c00));
  const auto quiet = hn::IfThenElseZero(is_nan, hn::Set(w, 0x00400000));
  const auto special = hn::Or(hn::Or(shifted, hn::Set(w, 0x7f800000)), quiet);
  const auto is_denormal = hn::Lt(magnitude, hn::Set(w, 0x0400));
  const auto is_special = hn::Gt(magnitude, hn::Set(w, 0x7bff));
  const auto finite = hn::IfThenElse(is_denormal, denormal, normal);
  return hn::BitCast(d, hn::Or(sign, hn::IfThenElse(is_special, special, finite)));
}

HWY_INLINE hn::Vec<halves> round_to(floats d, vector v, const fp16_t*) {
  const words w;
  const auto bits = hn::BitCast(w, v);
  const auto magnitude = hn::And(bits, hn::Set(w, 0x7fffffff));
  const auto sign = hn::ShiftRight<16>(hn::Sub(bits, magnitude));
  const auto shifted = hn::ShiftRight<13>(magnitude);
  const auto nan = hn::Or(hn::And(shifted, hn::Set(w, 0x3ff)), hn::Set(w, 0x7e00));
  const auto odd = hn::And(shifted, hn::Set(w, 1));
  const auto normal =
      hn::ShiftRight<13>(hn::Add(hn::Sub(magnitude, hn::Set(w, 0x38000000 - 0x0fff)), odd));
  const auto denormal = hn::Sub(
      hn::BitCast(w, hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f))), hn::Set(w, 0x3f000000));
  const auto finite = hn::IfThenElse(hn::Lt(magnitude, hn::Set(w, 0x38800000)), denormal, normal);
  const auto overflows = hn::Gt(magnitude, hn::Set(w, 0x477fefff));
  const auto number = hn::IfThenElse(overflows, hn::Set(w, 0x7c00), finite);
  const auto is_nan = hn::Gt(magnitude, hn::Set(w, 0x7f800000));
  return low_halves(hn::Or(sign, hn::IfThenElse(is_nan, nan, number)));
}

#endif

template <typename Half>
HWY_INLINE void store(floats d, vector v, Half* to) {
  hn::StoreU(round_to(d, v, to), halves(), reinterpret_cast<std::uint16_t*>(to));
}

// Two vectors, past the caches; `to` is aligned to a whole vector.
HWY_INLINE void stream(floats d, vector u, vector v, float* to) {
  hn::Stream(u, d, to);
  hn::Stream(v, d, to + hn::Lanes(d));
}
template <typename Half>
HWY_INLINE void stream(floats d, vector u, vector v, Half* to) {
#if HWY_TARGET == HWY_SCALAR
  store(d, u, to);
  store(d, v, to + 1);
#else
  // As one: half a vector cannot be streamed.
  const hn::Repartition<std::uint16_t, floats> both;
  hn::Stream(hn::Combine(both, round_to(d, v, to), round_to(d, u, to)), both,
             reinterpret_cast<std::uint16_t*>(to));
#endif
}

HWY_INLINE void store_scalar(float v, float* to) { *to = v; }
HWY_INLINE void store_scalar(float v, bf16_t* to) { *to = to_bf16(v); }
HWY_INLINE void store_scalar(float v, fp16_t* to) { *to = to_fp16(v); }

// ---- the sum ----------------------------------------------------------------------------------

// Sums from this size on are written past the caches: they would push out more than they keep,
// and a line written whole need not be read first. Measured: 1.2 times the rate at 16 MiB.
constexpr std::size_t streamed_bytes = std::size_t{2} << 20;

HWY_INLINE bool is_source(const void* const* from, std::size_t sources, const void* out) {
  for (std::size_t s = 0; s < sources; ++s) {
    if (from[s] == out) return true;
  }
  return false;
}

template <typename In, typename Out>
HWY_INLINE void sum_one(const void* const* from, std::size_t sources, const float* start, Out* out,
                        bool adds, std::size_t i) {
  float total = to_float(static_cast<const In*>(from[0])[i]);
  if (start != nullptr) total = start[i] + total;
  for (std::size_t s = 1; s < sources; ++s) total += to_float(static_cast<const In*>(from[s])[i]);
  if (adds) total = to_float(out[i]) + total;
  store_scalar(total, out + i);
}

enum class way { plain, adding, streaming };

// As many sources as one pass reads. Each is read by instructions of its own: with one load
// instruction going round the sources, 16-bit sums over 4 ran at a third of the rate wherever the
// sources did not lie a multiple of 2 MiB apart, and unrolling by source is what cured it
// (measured on Zen 5; presumably the prefetcher takes the round for one stream). Four at a time are
// as fast as eight, and less to compile.
constexpr std::size_t most_sources = 4;

// Elements [i, end) as far as there are whole pairs of vectors, which stay in registers while all
// sources are added; returns where it ended. With `start`, the accumulator begins with
// start[0, end - i) instead of 0.
template <typename In, typename Out, std::size_t sources>
HWY_NOINLINE std::size_t sum_pass(const void* const* from, const float* start, Out* out,
                                  std::size_t i, std::size_t end, way how) {
  const floats d;
  const std::size_t n = hn::Lanes(d);
  const In* p[sources];
  for (std::size_t s = 0; s < sources; ++s) p[s] = static_cast<const In*>(from[s]) + i;
  for (; i + 2 * n <= end; i += 2 * n) {
    auto a = load(d, p[0]), b = load(d, p[0] + n);
    if (start != nullptr) {
      a = hn::Add(load(d, start), a);
      b = hn::Add(load(d, start + n), b);
      start += 2 * n;
    }
    HWY_UNROLL(4)
    for (std::size_t s = 1; s < sources; ++s) {
      a = hn::Add(a, load(d, p[s]));
      b = hn::Add(b, load(d, p[s] + n));
    }
    HWY_UNROLL(4)
    for (std::size_t s = 0; s < sources; ++s) p[s] += 2 * n;
    Out* const q = out + i;
    if (how == way::streaming) {
      stream(d, a, b, q);
      continue;
    }
    if (how == way::adding) {
      a = hn::Add(load(d, q), a);
      b = hn::Add(load(d, q + n), b);
    }
    store(d, a, q);
    store(d, b, q + n);
  }
  return i;
}

template <typename In, typename Out>
std::size_t sum_pass(const void* const* from, std::size_t sources, const float* start, Out* out,
                     std::size_t i, std::size_t end, way how) {
  static constexpr decltype(&sum_pass<In, Out, 1>) passes[most_sources] = {
      sum_pass<In, Out, 1>, sum_pass<In, Out, 2>, sum_pass<In, Out, 3>, sum_pass<In, Out, 4>};
  return passes[sources - 1](from, start, out, i, end, how);
}

// More sources than one pass reads: several passes over blocks that stay in the first cache.
template <typename In, typename Out>
std::size_t sum_blocks(const void* const* from, std::size_t sources, const float* begin, Out* out,
                       std::size_t i, std::size_t count, way how) {
  constexpr std::size_t block = 1024;
  float partial[block];
  const std::size_t group = 2 * hn::Lanes(floats());
  while (i + group <= count) {
    const std::size_t end = i + (count - i < block ? (count - i) / group * group : block);
    const void* shifted[most_sources];  // partial[0] belongs to element i
    const float* start = begin != nullptr ? begin + i : nullptr;
    std::size_t s = 0;
    for (; sources - s > most_sources; s += most_sources) {
      for (std::size_t k = 0; k < most_sources; ++k) {
        shifted[k] = static_cast<const In*>(from[s + k]) + i;
      }
      sum_pass<In, float>(shifted, most_sources, start, partial, 0, end - i, way::plain);
      start = partial;
    }
    i = sum_pass<In, Out>(from + s, sources - s, start, out, i, end, how);
  }
  return i;
}

template <typename In, typename Out>
void sum_of(const void* const* from, std::size_t sources, void* to, std::size_t count,
            write_mode mode, const float* start) {
  Out* const out = static_cast<Out*>(to);
  const bool adds = mode == write_mode::accumulate;
  const bool streams =
      count * sizeof(Out) >= streamed_bytes && !adds && !is_source(from, sources, to);
  const way how = adds ? way::adding : streams ? way::streaming : way::plain;
  std::size_t i = 0;
  if (streams) {  // up to the first aligned element
    const std::size_t alignment = hn::Lanes(floats()) * sizeof(float);
    while (reinterpret_cast<std::uintptr_t>(out + i) % alignment != 0) {
      sum_one<In>(from, sources, start, out, false, i++);
    }
  }
  i = sources <= most_sources
          ? sum_pass<In, Out>(from, sources, start != nullptr ? start + i : nullptr, out, i, count,
                              how)
          : sum_blocks<In, Out>(from, sources, start, out, i, count, how);
  if (streams) hwy::FlushStream();  // before anyone is told that it is there
  for (; i < count; ++i) sum_one<In>(from, sources, start, out, adds, i);
}

void sum_fp32(const void* const* from, std::size_t sources, void* out, std::size_t count,
              write_mode mode, const float* start) {
  sum_of<float, float>(from, sources, out, count, mode, start);
}
void sum_bf16(const void* const* from, std::size_t sources, void* out, std::size_t count,
              write_mode mode, const float* start) {
  sum_of<bf16_t, bf16_t>(from, sources, out, count, mode, start);
}
void sum_fp16(const void* const* from, std::size_t sources, void* out, std::size_t count,
              write_mode mode, const float* start) {
  sum_of<fp16_t, fp16_t>(from, sources, out, count, mode, start);
}
void sum_bf16_to_fp32(const void* const* from, std::size_t sources, void* out, std::size_t count,
                      write_mode mode, const float* start) {
  sum_of<bf16_t, float>(from, sources, out, count, mode, start);
}
void sum_fp16_to_fp32(const void* const* from, std::size_t sources, void* out, std::size_t count,
                      write_mode mode, const float* start) {
  sum_of<fp16_t, float>(from, sources, out, count, mode, start);
}

}  // namespace zero::collectives::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::collectives {

HWY_EXPORT(sum_fp32);
HWY_EXPORT(sum_bf16);
HWY_EXPORT(sum_fp16);
HWY_EXPORT(sum_bf16_to_fp32);
HWY_EXPORT(sum_fp16_to_fp32);

void sum(const void* const* from, std::size_t sources, dtype in, void* out, dtype out_type,
         std::size_t count, write_mode mode, const float* start) noexcept {
  if (count == 0) return;
  if (in == dtype::fp32)
    return HWY_DYNAMIC_DISPATCH(sum_fp32)(from, sources, out, count, mode, start);
  if (in == dtype::bf16) {
    if (out_type == dtype::bf16) {
      return HWY_DYNAMIC_DISPATCH(sum_bf16)(from, sources, out, count, mode, start);
    }
    return HWY_DYNAMIC_DISPATCH(sum_bf16_to_fp32)(from, sources, out, count, mode, start);
  }
  if (out_type == dtype::fp16) {
    return HWY_DYNAMIC_DISPATCH(sum_fp16)(from, sources, out, count, mode, start);
  }
  return HWY_DYNAMIC_DISPATCH(sum_fp16_to_fp32)(from, sources, out, count, mode, start);
}

}  // namespace zero::collectives
#endif
