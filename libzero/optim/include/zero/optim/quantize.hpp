#pragma once
// quantize: elements as 4- or 8-bit codes for the way to others, in blocks that share a scale.
//
// A block is 128 codes of `bits` bits and then its scale in fp32; with 4 bits, byte j holds element
// j in its lower half and element j + 64 in its upper. A run whose count is a multiple of 128 cut
// at blocks is such runs, and such runs back to back are one. The last block is filled with zeros.
// With L = 7 or 127, the largest code, and m the largest magnitude of a block:
//
//     scale = m / L cut to 16 significant bits, at least 2^-126
//     code = x * (1 / scale), rounded to nearest even        value = code * scale
//
// code * scale is exact and within scale / 2 * (1 + 2^-15) of a finite x; unless m / L is below
// 2^-126 it is at most m in magnitude, so nothing overflows; quantizing the values again in fp32
// gives the same bits. A block with an element that is not finite comes back as NaN, all of it.
// Codes with one scale a block: ZeRO++ (arXiv:2306.10209), section 3.1.
//
// Pure, thread-safe on disjoint memory, bit-identical to the references on every target (but for
// which NaN it is). Quantized runs are aligned to 4 bytes and share no memory with anything else.
// Throws invalid_argument, having written nothing, for other bits than 4 and 8, dtype byte, a run
// that is not aligned, and terms < 1.

#include <zero/base/quantized.hpp>
#include <zero/base/typed_span.hpp>

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::optim {

enum class store_mode : unsigned char {
  overwrite,  // out = what comes
  add,        // out = out + what comes, added in fp32 and then rounded
};

// out: quantized_bytes(in.count, bits).
void quantize(const_typed_span in, int bits, std::byte* out);

// The sum of `terms` runs of out.count elements each, back to back at `in`: values are added in
// fp32 in the order of the runs, then stored as `mode` says and rounded once to out's dtype.
void dequantize(const std::byte* in, int terms, int bits, typed_span out,
                store_mode mode = store_mode::overwrite);

// The same sum of runs of `count` elements, quantized again without another rounding between.
void requantize(const std::byte* in, int terms, std::uint64_t count, int bits, std::byte* out);

void quantize_reference(const_typed_span in, int bits, std::byte* out);
void dequantize_reference(const std::byte* in, int terms, int bits, typed_span out,
                          store_mode mode = store_mode::overwrite);
void requantize_reference(const std::byte* in, int terms, std::uint64_t count, int bits,
                          std::byte* out);

}  // namespace zero::optim
#pragma GCC visibility pop
