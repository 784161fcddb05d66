#pragma once
// packed_pieces: the steps that an update of packed spans consists of, each over elements that lie
// in the first cache. There are two sets of them, on vectors and one element at a time, with the
// same bits; packed.cpp puts them together.
//
// Arguments have been checked. n: elements of every array of the call; blocks are whole.

#include "packed_element.hpp"
#include "rounding_bits.hpp"
#include "update_scalars.hpp"

#include <zero/base/typed_span.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::optim::detail {

struct packed_pieces {
  // The bits of `blocks` blocks of keys, the first of which is block `first`.
  void (*fill_bits)(const rounding_key& key, std::uint64_t first, std::size_t blocks,
                    std::uint16_t* out);
  void (*join)(const bf16_t* parameter, const std::uint16_t* remainder, std::size_t n, float* out);
  void (*split)(const float* in, std::size_t n, bf16_t* parameter, std::uint16_t* remainder);
  void (*widen)(const const_typed_span& in, float* out);
  // out: bf16 or fp16, of out.count elements.
  void (*round)(const float* in, const std::uint16_t* bits, const typed_span& out);
  void (*decode)(const std::byte* in, code_kind kind, float* out);
  void (*encode)(const float* in, const std::uint16_t* bits, code_kind kind, std::byte* out);
  void (*update)(algorithm a, const update_scalars& k, const update_spans& spans);
};

extern const packed_pieces vector_pieces;
extern const packed_pieces reference_pieces;

}  // namespace zero::optim::detail
