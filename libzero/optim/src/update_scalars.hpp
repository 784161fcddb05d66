#pragma once
// update_scalars: what a call of update computes once, in fp64, and rounds once to fp32. The
// scalar reference and every vector path start from the same values.
//
// The checks both paths share stand here too.

#include <zero/optim/update.hpp>

namespace zero::optim::detail {

struct update_scalars {
  float gradient_scale;
  float weight_decay;  // added to the gradient
  float decay;         // 1 - learning_rate * weight_decay, multiplies the weight
  float beta1, rest1;  // rest = 1 - beta
  float beta2, rest2;
  float momentum;
  float epsilon;
  float negative_step;    // -learning_rate, over the first bias correction where there is one
  float root_correction;  // 1 / sqrt(1 - beta2^step)
  bool nesterov;
};

[[nodiscard]] update_scalars make_scalars(algorithm a, const hyper& constants,
                                          const step_scalars& scalars) noexcept;

// Throws invalid_argument unless the spans are what `a` needs.
void check(algorithm a, const step_scalars& scalars, const update_spans& spans);

}  // namespace zero::optim::detail
