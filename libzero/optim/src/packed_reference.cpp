// The pieces of packed.hpp, one element at a time.
#include "packed_pieces.hpp"
#include "typed_elements.hpp"

#include <algorithm>
#include <cstring>

namespace zero::optim::detail {
namespace {

void fill_bits(const rounding_key& key, std::uint64_t first, std::size_t blocks,
               std::uint16_t* out) {
  for (std::size_t i = 0; i < blocks * keys_of_block; ++i) {
    out[i] = rounding_bits(key, first * keys_of_block + i);
  }
}

void join_all(const bf16_t* parameter, const std::uint16_t* remainder, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; ++i) out[i] = join(parameter[i], remainder[i]);
}

void split_all(const float* in, std::size_t n, bf16_t* parameter, std::uint16_t* remainder) {
  for (std::size_t i = 0; i < n; ++i) {
    const split_weight both = split(in[i]);
    parameter[i] = both.parameter;
    remainder[i] = both.remainder;
  }
}

void widen(const const_typed_span& in, float* out) {
  for (std::size_t i = 0; i < in.count; ++i) out[i] = load(in, i);
}

void round_all(const float* in, const std::uint16_t* bits, const typed_span& out) {
  for (std::size_t i = 0; i < out.count; ++i) {
    if (out.type == dtype::bf16) {
      static_cast<bf16_t*>(out.data)[i] = round_with(in[i], bits[i], bf16_t{});
    } else {
      static_cast<fp16_t*>(out.data)[i] = round_with(in[i], bits[i], fp16_t{});
    }
  }
}

void decode(const std::byte* in, code_kind kind, float* out) {
  float unit;
  std::memcpy(&unit, in + format_block, sizeof unit);
  for (std::size_t i = 0; i < format_block; ++i) {
    out[i] = value_of_code(static_cast<std::uint8_t>(in[i]), unit, kind);
  }
}

void encode(const float* in, const std::uint16_t* bits, code_kind kind, std::byte* out) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < format_block; ++i) {
    largest = std::max(largest, zero::detail::bits_of(in[i]) & magnitude_bits);
  }
  const code_scale scale = code_scale_of(largest, kind);
  for (std::size_t i = 0; i < format_block; ++i) {
    const bool finite = largest < infinity_bits;
    out[i] = static_cast<std::byte>(finite ? code_with(in[i], bits[i], scale, kind) : 0);
  }
  std::memcpy(out + format_block, &scale.unit, sizeof scale.unit);
}

}  // namespace

const packed_pieces reference_pieces = {fill_bits, join_all, split_all, widen,
                                        round_all, decode,   encode,    update_range_reference};

}  // namespace zero::optim::detail
