#pragma once
// Casts, sums and the norm over flat spans.
//
// Pure, thread-safe on disjoint spans, bit-identical to their references on every target.

#include <zero/base/typed_span.hpp>

namespace zero::optim {

// out[i] = in[i], rounded to nearest even where out is narrower. Same count; dtypes but byte.
// in and out may be the same memory only if their dtypes are the same.
void convert(const_typed_span in, typed_span out);

// out[i] = out[i] + in[i], added in fp32 and rounded once. Same count.
void accumulate(const_typed_span in, typed_span out);

// Sum of squares in fp64. The order is fixed: 16 partial sums over elements i mod 16, then a
// pairwise sum of those; so it does not depend on the vector width. Not finite if any element is
// not finite; never overflows for finite fp32 input.
[[nodiscard]] double sum_of_squares(const_typed_span values);

void convert_reference(const_typed_span in, typed_span out);
void accumulate_reference(const_typed_span in, typed_span out);
[[nodiscard]] double sum_of_squares_reference(const_typed_span values);

}  // namespace zero::optim
