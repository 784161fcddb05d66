// The pieces of packed.hpp on vectors. What does not fill a vector goes one element at a time,
// through the same formulas.
#include "compiled_targets.hpp"
#include "packed_pieces.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "packed_lanes.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h:
#include "lanes-inl.hpp"

#include <zero/optim/elementwise.hpp>

#include <algorithm>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace zero::optim {
namespace HWY_NAMESPACE {

using words = hn::RebindToUnsigned<lanes>;
using halves = hn::Rebind<std::uint16_t, lanes>;
using word_vector = hn::Vec<words>;

HWY_INLINE word_vector load_halves(const void* from) {
  return hn::PromoteTo(words(), hn::LoadU(halves(), static_cast<const std::uint16_t*>(from)));
}
HWY_INLINE void store_halves(word_vector v, void* to) {
  hn::StoreU(hn::TruncateTo(halves(), v), halves(), static_cast<std::uint16_t*>(to));
}
HWY_INLINE word_vector all(std::uint32_t value) { return hn::Set(words(), value); }
HWY_INLINE word_vector magnitude_of(word_vector bits) {
  return hn::And(bits, all(detail::magnitude_bits));
}
// Of numbers below 2^31, which compare faster as signed ones.
HWY_INLINE hn::Mask<words> above(word_vector a, word_vector b) {
  const hn::RebindToSigned<lanes> di;
  return hn::RebindMask(words(), hn::Gt(hn::BitCast(di, a), hn::BitCast(di, b)));
}
// Whole numbers below 2^31, cut.
HWY_INLINE word_vector whole(floats v) {
  return hn::BitCast(words(), hn::ConvertTo(hn::RebindToSigned<lanes>(), v));
}

// ---- random bits -------------------------------------------------------------------------------

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

void fill_bits(const detail::rounding_key& key, std::uint64_t first, std::size_t blocks,
               std::uint16_t* out) {
  detail::reference_pieces.fill_bits(key, first, blocks, out);
}

#else

// Counters in 64-bit lanes whose upper halves do not matter: what a product of 32 bits wants.
using counters = hn::CappedTag<std::uint64_t, 8>;
using counter_words = hn::Repartition<std::uint32_t, counters>;
using counter_vector = hn::Vec<counters>;

struct counter_state {
  counter_vector word[4];
};

HWY_INLINE counter_vector product(counter_vector a, std::uint32_t b) {
  const counter_words d32;
  return hn::MulEven(hn::BitCast(d32, a), hn::Set(d32, b));
}

HWY_INLINE void one_round(counter_state& c, std::uint32_t key0, std::uint32_t key1) {
  const counters d;
  const counter_vector product0 = product(c.word[0], detail::philox_multiplier0);
  const counter_vector product1 = product(c.word[2], detail::philox_multiplier1);
  c.word[0] = hn::Xor3(hn::ShiftRight<32>(product1), c.word[1], hn::Set(d, key0));
  c.word[1] = product1;
  c.word[2] = hn::Xor3(hn::ShiftRight<32>(product0), c.word[3], hn::Set(d, key1));
  c.word[3] = product0;
}

HWY_INLINE counter_state first_state(const detail::rounding_key& key, std::uint64_t counter,
                                     std::uint64_t offset) {
  const counters d;
  const counter_vector lane = hn::ShiftLeft<1>(hn::Iota(d, 0));  // every other counter
  const auto low = static_cast<std::uint32_t>(counter);          // a multiple of 16: never carries
  return {{hn::Add(lane, hn::Set(d, low + offset)), hn::Set(d, counter >> 32),
           hn::Set(d, key.word2()), hn::Set(d, key.word3())}};
}

void fill_bits(const detail::rounding_key& key, std::uint64_t first, std::size_t blocks,
               std::uint16_t* out) {
  const counters d;
  const counter_words d32;
  const hn::Rebind<std::uint16_t, counter_words> d16;
  constexpr std::size_t at_once = hn::MaxLanes(counter_words());
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::uint64_t counter = (first + block) * detail::counters_of_block;
    for (std::size_t i = 0; i < detail::counters_of_block; i += at_once) {
      auto key0 = static_cast<std::uint32_t>(key.seed);
      auto key1 = static_cast<std::uint32_t>(key.seed >> 32);
      counter_state even = first_state(key, counter, i);
      counter_state odd = first_state(key, counter, i + 1);
      for (int round = 0; round < detail::philox_rounds; ++round) {
        one_round(even, key0, key1);
        one_round(odd, key0, key1);
        key0 += detail::philox_weyl0;
        key1 += detail::philox_weyl1;
      }
      for (std::size_t w = 0; w < 4; ++w) {
        const auto lower = hn::And(even.word[w], hn::Set(d, 0xffffffffU));
        const auto both = hn::BitCast(d32, hn::Or(lower, hn::ShiftLeft<32>(odd.word[w])));
        std::uint16_t* const to = out + 2 * w * detail::counters_of_block + i;
        hn::StoreU(hn::TruncateTo(d16, both), d16, to);
        hn::StoreU(hn::TruncateTo(d16, hn::ShiftRight<16>(both)), d16,
                   to + detail::counters_of_block);
      }
    }
    out += detail::keys_of_block;
  }
}

#endif

// ---- weights -----------------------------------------------------------------------------------

void join(const bf16_t* parameter, const std::uint16_t* remainder, std::size_t n, float* out) {
  const lanes d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const word_vector upper = load_halves(parameter + i);
    const word_vector lower = load_halves(remainder + i);
    const word_vector bits = hn::Or(hn::ShiftLeft<16>(upper), lower);
    const auto rounded_up =
        hn::And(above(lower, all(0x8000U)), above(hn::And(upper, all(0x7fffU)), hn::Zero(words())));
    hn::StoreU(hn::BitCast(d, hn::Sub(bits, hn::IfThenElseZero(rounded_up, all(0x10000U)))), d,
               out + i);
  }
  for (; i < n; ++i) out[i] = detail::join(parameter[i], remainder[i]);
}

void split(const float* in, std::size_t n, bf16_t* parameter, std::uint16_t* remainder) {
  const lanes d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const floats weight = hn::LoadU(d, in + i);
    const word_vector bits = hn::BitCast(words(), weight);
    const word_vector lower = hn::And(bits, all(0xffffU));
    const word_vector cut = hn::ShiftRight<16>(bits);
    const word_vector nearest =
        hn::Add(cut, hn::IfThenElseZero(above(lower, all(0x8000U)), all(1)));
    const auto nan = hn::RebindMask(words(), hn::IsNaN(weight));
    store_halves(hn::IfThenElse(nan, hn::Or(cut, all(0x40U)), nearest), parameter + i);
    store_halves(hn::IfThenZeroElse(nan, lower), remainder + i);
  }
  for (; i < n; ++i) {
    const detail::split_weight both = detail::split(in[i]);
    parameter[i] = both.parameter;
    remainder[i] = both.remainder;
  }
}

HWY_INLINE word_vector rounded(word_vector all_bits, word_vector random, bf16_t /*type*/) {
  const lanes d;
  const auto nearest = rounded_to_bf16(d, hn::BitCast(d, all_bits));
  const auto beyond = above(magnitude_of(all_bits), all(0x7f7f0000U));
  return hn::ShiftRight<16>(hn::IfThenElse(beyond, nearest, hn::Add(all_bits, random)));
}

HWY_INLINE word_vector rounded(word_vector all_bits, word_vector random, fp16_t /*type*/) {
  const lanes d;
  const word_vector magnitude = magnitude_of(all_bits);
  const word_vector sign = hn::And(hn::ShiftRight<16>(all_bits), all(0x8000U));
  const word_vector normal =
      hn::ShiftRight<13>(hn::Add(hn::Sub(magnitude, all(0x38000000U)), hn::ShiftRight<3>(random)));
  const word_vector units = whole(hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p40F)));
  const word_vector denormal = hn::ShiftRight<16>(hn::Add(units, random));
  const word_vector payload = hn::And(hn::ShiftRight<13>(magnitude), all(0x3ffU));
  word_vector beyond = hn::IfThenElse(above(magnitude, all(detail::infinity_bits)),
                                      hn::Or(payload, all(0x7e00U)), all(0x7c00U));
  beyond = hn::IfThenElse(above(all(0x477ff000U), magnitude), all(0x7bffU), beyond);
  word_vector half = hn::IfThenElse(above(all(0x38800000U), magnitude), denormal, normal);
  half = hn::IfThenElse(above(magnitude, all(0x477fe000U)), beyond, half);
  return hn::Or(half, sign);
}

template <class T>
void round_as(const float* in, const std::uint16_t* bits, T* out, std::size_t n) {
  const lanes d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const word_vector value = hn::BitCast(words(), hn::LoadU(d, in + i));
    store_halves(rounded(value, load_halves(bits + i), T{}), out + i);
  }
  for (; i < n; ++i) out[i] = detail::round_with(in[i], bits[i], T{});
}

void round(const float* in, const std::uint16_t* bits, const typed_span& out) {
  if (out.type == dtype::bf16) {
    return round_as(in, bits, static_cast<bf16_t*>(out.data), out.count);
  }
  round_as(in, bits, static_cast<fp16_t*>(out.data), out.count);
}

// ---- codes -------------------------------------------------------------------------------------

template <detail::code_kind Kind>
HWY_INLINE void decode_as(const std::byte* in, float* out) {
  const lanes d;
  const hn::Rebind<std::uint8_t, lanes> d8;
  constexpr bool squares = Kind == detail::code_kind::squares;
  float unit;
  std::memcpy(&unit, in + format_block, sizeof unit);
  const word_vector base = all(detail::base_of(unit));
  for (std::size_t i = 0; i < format_block; i += hn::Lanes(d)) {
    const word_vector code =
        hn::PromoteTo(words(), hn::LoadU(d8, reinterpret_cast<const std::uint8_t*>(in) + i));
    const word_vector number = squares ? code : hn::And(code, all(0x7fU));
    const floats low = hn::Mul(hn::ConvertTo(d, hn::BitCast(hn::RebindToSigned<lanes>(), number)),
                               hn::Set(d, unit));
    const word_vector high = hn::Add(hn::ShiftLeft<20>(number), base);
    word_vector value = hn::IfThenElse(above(all(8), number), hn::BitCast(words(), low), high);
    if constexpr (!squares) {
      value = hn::Or(value, hn::ShiftLeft<24>(hn::And(code, all(0x80U))));
    }
    hn::StoreU(hn::BitCast(d, value), d, out + i);
  }
}

HWY_INLINE std::uint32_t largest_magnitude(const float* in) {
  const lanes d;
  const hn::RebindToSigned<lanes> di;  // magnitudes are positive in either
  auto largest = hn::Zero(di);
  for (std::size_t i = 0; i < format_block; i += hn::Lanes(d)) {
    const word_vector bits = hn::BitCast(words(), hn::LoadU(d, in + i));
    largest = hn::Max(largest, hn::BitCast(di, magnitude_of(bits)));
  }
  return static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(di, largest)));
}

template <detail::code_kind Kind>
HWY_INLINE void encode_as(const float* in, const std::uint16_t* bits, std::byte* out) {
  const lanes d;
  const hn::Rebind<std::uint8_t, lanes> d8;
  constexpr bool squares = Kind == detail::code_kind::squares;
  const std::uint32_t largest = largest_magnitude(in);
  const detail::code_scale scale = detail::code_scale_of(largest, Kind);
  std::memcpy(out + format_block, &scale.unit, sizeof scale.unit);
  if (largest >= detail::infinity_bits) {
    std::memset(out, 0, format_block);
    return;
  }
  const word_vector base = all(scale.base);
  const word_vector first_normal = all(scale.base + (1U << 23));
  const word_vector most = all(detail::largest_code_of(Kind));
  const floats to_units = hn::Set(d, scale.to_units);
  for (std::size_t i = 0; i < format_block; i += hn::Lanes(d)) {
    const word_vector value = hn::BitCast(words(), hn::LoadU(d, in + i));
    const word_vector magnitude = magnitude_of(value);
    const word_vector low = whole(hn::Mul(hn::BitCast(d, magnitude), to_units));
    const word_vector high = hn::ShiftRight<4>(hn::Sub(magnitude, base));
    const word_vector parts = hn::IfThenElse(above(first_normal, magnitude), low, high);
    word_vector code = hn::Min(hn::ShiftRight<16>(hn::Add(parts, load_halves(bits + i))), most);
    if constexpr (squares) {
      code = hn::Max(code, hn::Min(magnitude, all(1)));
    } else {
      code = hn::Or(code, hn::And(hn::ShiftRight<24>(value), all(0x80U)));
    }
    hn::StoreU(hn::TruncateTo(d8, code), d8, reinterpret_cast<std::uint8_t*>(out) + i);
  }
}

void decode(const std::byte* in, detail::code_kind kind, float* out) {
  if (kind == detail::code_kind::squares) return decode_as<detail::code_kind::squares>(in, out);
  decode_as<detail::code_kind::signed_values>(in, out);
}

void encode(const float* in, const std::uint16_t* bits, detail::code_kind kind, std::byte* out) {
  if (kind == detail::code_kind::squares) {
    return encode_as<detail::code_kind::squares>(in, bits, out);
  }
  encode_as<detail::code_kind::signed_values>(in, bits, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace zero::optim
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace zero::optim {

HWY_EXPORT(fill_bits);
HWY_EXPORT(join);
HWY_EXPORT(split);
HWY_EXPORT(round);
HWY_EXPORT(decode);
HWY_EXPORT(encode);

namespace detail {
namespace {

void fill_bits_of(const rounding_key& key, std::uint64_t first, std::size_t blocks,
                  std::uint16_t* out) {
  HWY_DYNAMIC_DISPATCH(fill_bits)(key, first, blocks, out);
}
void join_all(const bf16_t* parameter, const std::uint16_t* remainder, std::size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(join)(parameter, remainder, n, out);
}
void split_all(const float* in, std::size_t n, bf16_t* parameter, std::uint16_t* remainder) {
  HWY_DYNAMIC_DISPATCH(split)(in, n, parameter, remainder);
}
void widen(const const_typed_span& in, float* out) {
  optim::convert(in, {out, in.count, dtype::fp32});
}
void round_all(const float* in, const std::uint16_t* bits, const typed_span& out) {
  HWY_DYNAMIC_DISPATCH(round)(in, bits, out);
}
void decode_block(const std::byte* in, code_kind kind, float* out) {
  HWY_DYNAMIC_DISPATCH(decode)(in, kind, out);
}
void encode_block(const float* in, const std::uint16_t* bits, code_kind kind, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(encode)(in, bits, kind, out);
}

}  // namespace

const packed_pieces vector_pieces = {fill_bits_of, join_all,     split_all,    widen,
                                     round_all,    decode_block, encode_block, update_range};

}  // namespace detail
}  // namespace zero::optim
#endif  // HWY_ONCE
