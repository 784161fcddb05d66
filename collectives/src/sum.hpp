#pragma once
// sum: elementwise sums over several sources, in one order and with one result on every machine.
//
// For each element: accumulator = float(source 0); accumulator += float(source i) for i = 1, 2, ...
// as plain fp32 additions; if accumulating, accumulator = float(out) + accumulator; out =
// accumulator rounded once to out's dtype. Vector and scalar paths give the same bits (which NaN
// comes of several is left open). Thread-safe; nothing is kept.
//
// A sum may begin with what another one came to: with `start`, accumulator = start[i]; then every
// source is added. Sums over hosts go on from host to host so, with the bits of one long sum.

#include <zero/base/dtype.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstddef>

namespace zero::collectives {

// out[i] over i < count, from `sources` >= 1 pointers to elements of `in`: fp32, bf16 or fp16.
// `out_type` is `in` or fp32. out may be one of the sources if both have one dtype.
void sum(const void* const* from, std::size_t sources, dtype in, void* out, dtype out_type,
         std::size_t count, write_mode mode, const float* start = nullptr) noexcept;

}  // namespace zero::collectives
