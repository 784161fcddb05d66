#pragma once
// The update rules on one element, for the host's reference and for devices: one struct each.
// `states` says how many state values a rule reads and writes. update_rules-inl.hpp states the same
// operations in the same order on vectors.

#include "update_scalars.hpp"

namespace zero::optim::detail {

// g: the gradient, scaled already. Each returns the new weight and changes the states in place.

struct adam_element {
  static constexpr int states = 2;
  ZERO_HOST_DEVICE static float next(const update_scalars& k, float g, float w, float& exp_avg,
                                     float& exp_avg_sq) noexcept {
    exp_avg = fused_multiply_add(k.beta1, exp_avg, k.rest1 * g);
    exp_avg_sq = fused_multiply_add(k.beta2, exp_avg_sq, (k.rest2 * g) * g);
    const float denominator =
        fused_multiply_add(square_root(exp_avg_sq), k.root_correction, k.epsilon);
    return fused_multiply_add(k.negative_step, quotient(exp_avg, denominator), w);
  }
};

struct adamw_rule {
  static constexpr int states = 2;
  ZERO_HOST_DEVICE static float next(const update_scalars& k, float g, float w, float& s0,
                                     float& s1) noexcept {
    return adam_element::next(k, g, w * k.decay, s0, s1);
  }
};

struct adam_rule {
  static constexpr int states = 2;
  ZERO_HOST_DEVICE static float next(const update_scalars& k, float g, float w, float& s0,
                                     float& s1) noexcept {
    return adam_element::next(k, fused_multiply_add(k.weight_decay, w, g), w, s0, s1);
  }
};

struct sgd_rule {
  static constexpr int states = 1;
  ZERO_HOST_DEVICE static float next(const update_scalars& k, float g, float w,
                                     float& momentum_buffer, float& /*none*/) noexcept {
    g = fused_multiply_add(k.weight_decay, w, g);
    momentum_buffer = fused_multiply_add(k.momentum, momentum_buffer, g);
    const float direction =
        k.nesterov ? fused_multiply_add(k.momentum, momentum_buffer, g) : momentum_buffer;
    return fused_multiply_add(k.negative_step, direction, w);
  }
};

struct lion_rule {
  static constexpr int states = 1;
  ZERO_HOST_DEVICE static float next(const update_scalars& k, float g, float w, float& exp_avg,
                                     float& /*none*/) noexcept {
    w = w * k.decay;
    const float c = fused_multiply_add(k.beta1, exp_avg, k.rest1 * g);
    exp_avg = fused_multiply_add(k.beta2, exp_avg, k.rest2 * g);
    const float sign = c > 0.0F ? 1.0F : c < 0.0F ? -1.0F : c;  // NaN stays NaN
    return fused_multiply_add(k.negative_step, sign, w);
  }
};

struct adagrad_rule {
  static constexpr int states = 1;
  ZERO_HOST_DEVICE static float next(const update_scalars& k, float g, float w, float& sum,
                                     float& /*none*/) noexcept {
    g = fused_multiply_add(k.weight_decay, w, g);
    sum = fused_multiply_add(g, g, sum);
    return fused_multiply_add(k.negative_step, quotient(g, square_root(sum) + k.epsilon), w);
  }
};

// Calls f(rule) with the rule of `a`.
template <typename F>
void with_rule(algorithm a, const F& f) {
  switch (a) {
    case algorithm::adamw:
      return f(adamw_rule{});
    case algorithm::adam:
      return f(adam_rule{});
    case algorithm::sgd:
      return f(sgd_rule{});
    case algorithm::lion:
      return f(lion_rule{});
    case algorithm::adagrad:
      return f(adagrad_rule{});
  }
}

}  // namespace zero::optim::detail
