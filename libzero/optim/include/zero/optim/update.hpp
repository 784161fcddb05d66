#pragma once
// update: one fused pass over a flat range: unscale and clip the gradient, decay, update the
// states and the master weights, cast the parameters out.
//
// Pure functions of their arguments; thread-safe on disjoint ranges. An element's result depends
// on that element alone, so any cut of a range gives the same bits. The vector path and the
// scalar reference do the same operations in the same order, with fused multiply-add where the
// formula in README.md says fma, correctly rounded square root and division: bit-identical on
// every target. Processors without fused multiply-add compute it in fp64, slower. Where a result is
// NaN, it is NaN on every path; which NaN is not promised.

#include <zero/base/typed_span.hpp>
#include <zero/optim/rule.hpp>

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::optim {

// One contiguous range of elements that share a parameter group. `count` elements everywhere.
struct update_spans {
  std::size_t count = 0;
  float* master = nullptr;         // fp32 weights, read and written
  const_typed_span gradient = {};  // fp32, bf16 or fp16; read only
  float* state[2] = {nullptr, nullptr};
  typed_span parameter = {};  // bf16 or fp16 copy to write, or no data when master is it
};

// What a whole step has in common.
struct step_scalars {
  std::uint64_t step = 1;       // from 1; skipped steps are not counted
  float gradient_scale = 1.0F;  // unscale and clip factor in one; multiplies every gradient
};

// The fastest path this processor has. Ranges may have any length and element alignment; no two
// arrays may overlap. A large parameter copy is written around the caches. Throws invalid_argument,
// having written nothing, for step 0, counts that differ, a gradient of dtype byte, a parameter
// copy that is neither bf16 nor fp16, or an array the algorithm needs that is missing.
void update(algorithm a, const hyper& constants, const step_scalars& scalars,
            const update_spans& spans);

// The scalar statement of the same arithmetic, one element at a time. Throws as update does.
void update_reference(algorithm a, const hyper& constants, const step_scalars& scalars,
                      const update_spans& spans);

}  // namespace zero::optim
#pragma GCC visibility pop
