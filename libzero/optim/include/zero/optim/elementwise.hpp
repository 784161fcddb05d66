#pragma once
// Casts, sums and the norm over flat spans.
//
// Pure, thread-safe on disjoint spans, bit-identical to their references on every target (but for
// which NaN a sum of NaNs is). Spans of dtype byte and counts that differ throw invalid_argument.

#include <zero/base/span.hpp>
#include <zero/base/typed_span.hpp>

#pragma GCC visibility push(default)
namespace zero::optim {

// out[i] = in[i], rounded to nearest even where out is narrower; between equal dtypes every bit.
// in and out may be the same memory only if their dtypes are the same.
void convert(const_typed_span in, typed_span out);

// out[i] = out[i] + in[i], added in fp32 and then rounded to out's dtype. in and out may be the
// same memory only if their dtypes are the same.
void accumulate(const_typed_span in, typed_span out);

// values[i] = values[i] * factor, multiplied in fp32 and then rounded to their dtype.
void scale(typed_span values, float factor);

// master[i] = in[i] unless master[i], rounded to in's dtype, is in[i] already: what was written by
// somebody else is taken over, and master weights behind unchanged values keep their precision.
// in is fp32, bf16 or fp16.
void adopt(const_typed_span in, float* master);

// Sum of squares in fp64. The order is fixed, so that it depends neither on the vector width nor on
// how many threads of a device work at it: blocks of 2048 elements, each by 32 partial sums over
// its elements i mod 32, then a pairwise sum of those (each of the first 16 plus the one 16
// further, then 8, 4, 2, 1); then the blocks' sums in neighbouring pairs, the sums of those again,
// until one is left (one without a neighbour goes up as it is). Not finite if any element is not
// finite; never overflows for finite fp32 input.
[[nodiscard]] double sum_of_squares(const_typed_span values);
// The same from the sums of consecutive runs that begin at multiples of one power of two of blocks
// and, but for the last, are as long: bit for bit what it is of the whole.
[[nodiscard]] double join_sums_of_squares(span<const double> sums) noexcept;

void convert_reference(const_typed_span in, typed_span out);
void accumulate_reference(const_typed_span in, typed_span out);
void scale_reference(typed_span values, float factor);
[[nodiscard]] double sum_of_squares_reference(const_typed_span values);

}  // namespace zero::optim
#pragma GCC visibility pop
