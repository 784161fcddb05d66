#include "update_scalars.hpp"

#include <zero/base/error.hpp>

#include <cmath>
#include <string>

namespace zero::optim::detail {
namespace {

// base^exponent by squaring: multiplications alone, so the same bits whatever the C library.
double power(double base, std::uint64_t exponent) noexcept {
  double result = 1.0;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

void require(bool holds, const char* what) {
  if (!holds) throw invalid_argument(std::string("[optim.update] ") + what);
}

}  // namespace

update_scalars make_scalars(algorithm a, const hyper& constants,
                            const step_scalars& scalars) noexcept {
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
  k.negative_step = static_cast<float>(-(rate / correction1));
  k.root_correction = static_cast<float>(1.0 / std::sqrt(correction2));
  k.nesterov = constants.nesterov;
  return k;
}

void check(algorithm a, const step_scalars& scalars, const update_spans& spans) {
  require(scalars.step >= 1, "steps count from 1");
  require(spans.gradient.count == spans.count, "gradient and weights differ in count");
  require(spans.gradient.type != dtype::byte, "gradients of dtype byte");
  const bool cast_out = spans.parameter.data != nullptr;
  require(!cast_out || spans.parameter.count == spans.count,
          "parameter and weights differ in count");
  require(!cast_out || spans.parameter.type == dtype::bf16 || spans.parameter.type == dtype::fp16,
          "the parameter copy must be bf16 or fp16");
  if (spans.count == 0) return;
  require(spans.master != nullptr && spans.gradient.data != nullptr, "weights or gradient missing");
  for (int i = 0; i < state_count(a); ++i) require(spans.state[i] != nullptr, "a state is missing");
}

}  // namespace zero::optim::detail
