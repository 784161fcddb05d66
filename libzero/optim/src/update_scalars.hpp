#pragma once
// update_scalars: what a call of update computes once, in fp64, and rounds once to fp32. The
// scalar reference, every vector path and every device start from the same values.
//
// The checks all paths share stand here too.

#include "exact.hpp"

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

// base^exponent by squaring: multiplications alone, so the same bits whatever the C library.
[[nodiscard]] ZERO_HOST_DEVICE inline double power(double base, std::uint64_t exponent) noexcept {
  double result = 1.0;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

[[nodiscard]] ZERO_HOST_DEVICE inline update_scalars make_scalars(
    algorithm a, const hyper& constants, const step_scalars& scalars) noexcept {
  const double rate = constants.learning_rate;
  const double beta1 = constants.beta1;
  const double beta2 = constants.beta2;
  const bool corrected = a == algorithm::adamw || a == algorithm::adam;
  const double correction1 = corrected ? 1.0 - power(beta1, scalars.step) : 1.0;
  const double correction2 = corrected ? 1.0 - power(beta2, scalars.step) : 1.0;

  update_scalars k{};
  k.gradient_scale = scalars.gradient_scale;
  k.weight_decay = constants.weight_decay;
  k.decay = static_cast<float>(1.0 - rate * double{constants.weight_decay});
  k.beta1 = constants.beta1;
  k.rest1 = static_cast<float>(1.0 - beta1);
  k.beta2 = constants.beta2;
  k.rest2 = static_cast<float>(1.0 - beta2);
  k.momentum = constants.momentum;
  k.epsilon = constants.epsilon;
  k.negative_step = static_cast<float>(-quotient(rate, correction1));
  k.root_correction = static_cast<float>(quotient(1.0, square_root(correction2)));
  k.nesterov = constants.nesterov;
  return k;
}

// Throws invalid_argument unless the spans are what `a` needs.
void check(algorithm a, const step_scalars& scalars, const update_spans& spans);

// update and its reference without the checks.
void update_range(algorithm a, const update_scalars& k, const update_spans& spans);
void update_range_reference(algorithm a, const update_scalars& k, const update_spans& spans);

}  // namespace zero::optim::detail
