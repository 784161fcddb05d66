#include "compiled_targets.hpp"

#include <zero/optim/quantize.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quantize.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "lanes-inl.hpp"
#include "quantize_check.hpp"
#include "quantized_block.hpp"

#include <algorithm>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace zero::optim {
namespace HWY_NAMESPACE {

using integers = hn::Vec<hn::RebindToSigned<lanes>>;

// One block in fp32, between its elements and its codes.
struct block_values {
  HWY_ALIGN float values[quantized_block];

  // n elements, 1 to a whole block; the rest is zero.
  template <class T>
  HWY_INLINE void load(lanes d, const T* from, std::size_t n) {
    if (n == quantized_block) {
      for (std::size_t i = 0; i < n; i += hn::Lanes(d)) {
        hn::Store(load_lanes(d, from + i), d, values + i);
      }
      return;
    }
    for (std::size_t i = 0; i < n; ++i) values[i] = to_float(from[i]);
    std::memset(values + n, 0, (quantized_block - n) * sizeof(float));
  }

  template <bool Add, class T>
  HWY_INLINE void store(lanes d, T* to, std::size_t n) const {
    const std::size_t half = hn::Lanes(d);
    if (n < quantized_block) {
      for (std::size_t i = 0; i < n; ++i) {
        detail::assign(to[i], Add ? to_float(to[i]) + values[i] : values[i]);
      }
      return;
    }
    for (std::size_t i = 0; i < n; i += 2 * half) {
      floats lo = hn::Load(d, values + i);
      floats hi = hn::Load(d, values + i + half);
      if constexpr (Add) {
        lo = hn::Add(load_lanes(d, to + i), lo);
        hi = hn::Add(load_lanes(d, to + i + half), hi);
      }
      store_pair<false>(d, lo, hi, to + i);
    }
  }

  // As bits.
  [[nodiscard]] HWY_INLINE std::uint32_t largest_magnitude(lanes d) const {
    const hn::RebindToSigned<lanes> di;  // magnitudes are positive in either
    const auto mask = hn::Set(di, static_cast<std::int32_t>(detail::magnitude_mask));
    auto largest = hn::Zero(di);
    for (std::size_t i = 0; i < quantized_block; i += hn::Lanes(d)) {
      const auto bits = hn::BitCast(di, hn::Load(d, values + i));
      largest = hn::Max(largest, hn::And(bits, mask));
    }
    HWY_ALIGN std::int32_t each[hn::MaxLanes(lanes())];
    hn::Store(largest, di, each);
    return static_cast<std::uint32_t>(*std::max_element(each, each + hn::Lanes(d)));
  }

  [[nodiscard]] HWY_INLINE integers codes(lanes d, std::size_t i, floats inverse) const {
    return hn::NearestInt(hn::Mul(hn::Load(d, values + i), inverse));
  }

  template <int Bits>
  HWY_INLINE void encode(lanes d, std::byte* out) const {
    const std::uint32_t largest = largest_magnitude(d);
    const detail::block_scale s = detail::scale_of(largest, Bits);
    constexpr std::size_t bytes = detail::code_bytes(Bits);
    std::memcpy(out + bytes, &s.scale, sizeof s.scale);
    if (largest >= detail::first_not_finite) {
      std::memset(out, 0, bytes);
      return;
    }
    const floats inverse = hn::Set(d, s.inverse);
    if constexpr (Bits == 8) {
      const hn::Rebind<std::int8_t, lanes> d8;
      for (std::size_t i = 0; i < bytes; i += hn::Lanes(d)) {
        hn::StoreU(hn::DemoteTo(d8, codes(d, i, inverse)), d8,
                   reinterpret_cast<std::int8_t*>(out) + i);
      }
    } else {
      const hn::RebindToSigned<lanes> di;
      const hn::Rebind<std::uint8_t, lanes> d8;
      const auto mask = hn::Set(di, 15);
      for (std::size_t i = 0; i < bytes; i += hn::Lanes(d)) {
        const auto lower = hn::And(codes(d, i, inverse), mask);
        const auto upper = hn::And(codes(d, i + bytes, inverse), mask);
        hn::StoreU(hn::DemoteTo(d8, hn::Or(lower, hn::ShiftLeft<4>(upper))), d8,
                   reinterpret_cast<std::uint8_t*>(out) + i);
      }
    }
  }

  template <bool Add>
  HWY_INLINE void take(lanes d, std::size_t i, integers code, floats scale) {
    floats value = hn::Mul(hn::ConvertTo(d, code), scale);
    if constexpr (Add) value = hn::Add(hn::Load(d, values + i), value);
    hn::Store(value, d, values + i);
  }

  // The values of a block, or what is here plus those.
  template <int Bits, bool Add>
  HWY_INLINE void decode(lanes d, const std::byte* in) {
    constexpr std::size_t bytes = detail::code_bytes(Bits);
    float one_scale;
    std::memcpy(&one_scale, in + bytes, sizeof one_scale);
    const floats scale = hn::Set(d, one_scale);
    const hn::RebindToSigned<lanes> di;
    if constexpr (Bits == 8) {
      const hn::Rebind<std::int8_t, lanes> d8;
      for (std::size_t i = 0; i < bytes; i += hn::Lanes(d)) {
        const auto code = hn::LoadU(d8, reinterpret_cast<const std::int8_t*>(in) + i);
        take<Add>(d, i, hn::PromoteTo(di, code), scale);
      }
    } else {
      const hn::Rebind<std::uint8_t, lanes> d8;
      const auto eight = hn::Set(di, 8);
      const auto with_sign = [&](integers code) { return hn::Sub(hn::Xor(code, eight), eight); };
      for (std::size_t i = 0; i < bytes; i += hn::Lanes(d)) {
        const auto both =
            hn::PromoteTo(di, hn::LoadU(d8, reinterpret_cast<const std::uint8_t*>(in) + i));
        take<Add>(d, i, with_sign(hn::And(both, hn::Set(di, 15))), scale);
        take<Add>(d, i + bytes, with_sign(hn::ShiftRight<4>(both)), scale);
      }
    }
  }

  // The sum of one block of each of `terms` runs that are `stride` bytes apart.
  template <int Bits>
  HWY_INLINE void sum(lanes d, const std::byte* in, int terms, std::uint64_t stride) {
    decode<Bits, false>(d, in);
    for (int t = 1; t < terms; ++t) {
      decode<Bits, true>(d, in + static_cast<std::uint64_t>(t) * stride);
    }
  }
};

template <int Bits, class T>
HWY_NOINLINE void quantize_all(const T* in, std::size_t count, std::byte* out) {
  const lanes d;
  block_values block;
  for (std::size_t i = 0; i < count; i += quantized_block) {
    block.load(d, in + i, HWY_MIN(quantized_block, count - i));
    block.encode<Bits>(d, out);
    out += detail::block_bytes(Bits);
  }
}

template <int Bits, bool Add, class T>
HWY_NOINLINE void dequantize_all(const std::byte* in, int terms, T* out, std::size_t count) {
  const lanes d;
  block_values block;
  const std::uint64_t stride = quantized_bytes(count, Bits);
  for (std::size_t i = 0; i < count; i += quantized_block) {
    block.sum<Bits>(d, in, terms, stride);
    block.store<Add>(d, out + i, HWY_MIN(quantized_block, count - i));
    in += detail::block_bytes(Bits);
  }
}

template <int Bits>
HWY_NOINLINE void requantize_all(const std::byte* in, int terms, std::uint64_t count,
                                 std::byte* out) {
  const lanes d;
  block_values block;
  const std::uint64_t stride = quantized_bytes(count, Bits);
  for (std::uint64_t i = 0; i < count; i += quantized_block) {
    block.sum<Bits>(d, in, terms, stride);
    block.encode<Bits>(d, out);
    in += detail::block_bytes(Bits);
    out += detail::block_bytes(Bits);
  }
}

void quantize_on_target(const const_typed_span& in, int bits, std::byte* out) {
  detail::with_type(in.type, in.data, [&]<class T>(const T* from) {
    if (bits == 8) return quantize_all<8>(from, in.count, out);
    quantize_all<4>(from, in.count, out);
  });
}

void dequantize_on_target(const std::byte* in, int terms, int bits, const typed_span& out,
                          bool add) {
  detail::with_type(out.type, out.data, [&]<class T>(T* to) {
    if (bits == 8 && add) return dequantize_all<8, true>(in, terms, to, out.count);
    if (bits == 8) return dequantize_all<8, false>(in, terms, to, out.count);
    if (add) return dequantize_all<4, true>(in, terms, to, out.count);
    dequantize_all<4, false>(in, terms, to, out.count);
  });
}

void requantize_on_target(const std::byte* in, int terms, std::uint64_t count, int bits,
                          std::byte* out) {
  if (bits == 8) return requantize_all<8>(in, terms, count, out);
  requantize_all<4>(in, terms, count, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::optim
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::optim {

HWY_EXPORT(quantize_on_target);
HWY_EXPORT(dequantize_on_target);
HWY_EXPORT(requantize_on_target);

void quantize(const_typed_span in, int bits, std::byte* out) {
  detail::check_bits(bits);
  detail::check_elements(in);
  detail::check_run(out);
  if (in.count > 0) HWY_DYNAMIC_DISPATCH(quantize_on_target)(in, bits, out);
}

void dequantize(const std::byte* in, int terms, int bits, typed_span out, store_mode mode) {
  detail::check_bits(bits);
  detail::check_elements(out);
  detail::check_run(in);
  detail::check_terms(terms);
  if (out.count == 0) return;
  HWY_DYNAMIC_DISPATCH(dequantize_on_target)(in, terms, bits, out, mode == store_mode::add);
}

void requantize(const std::byte* in, int terms, std::uint64_t count, int bits, std::byte* out) {
  detail::check_bits(bits);
  detail::check_run(in);
  detail::check_run(out);
  detail::check_terms(terms);
  if (count > 0) HWY_DYNAMIC_DISPATCH(requantize_on_target)(in, terms, count, bits, out);
}

}  // namespace zero::optim
#endif  // HWY_ONCE
