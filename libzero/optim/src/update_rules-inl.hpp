// The update rules on vectors: one struct each, the same operations in the same order as
// update_reference.cpp. `states` says how many state vectors a rule reads and writes.

#if defined(ZERO_OPTIM_UPDATE_RULES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef ZERO_OPTIM_UPDATE_RULES_INL_HPP
#undef ZERO_OPTIM_UPDATE_RULES_INL_HPP
#else
#define ZERO_OPTIM_UPDATE_RULES_INL_HPP
#endif

#include "lanes-inl.hpp"
#include "update_scalars.hpp"

HWY_BEFORE_NAMESPACE();
namespace zero::optim {
namespace HWY_NAMESPACE {

enum class decay { decoupled, of_gradient };

template <decay Decay>
struct adam_rule {
  static constexpr int states = 2;
  detail::update_scalars k;

  HWY_INLINE void operator()(lanes d, floats g, floats& w, floats& exp_avg,
                             floats& exp_avg_sq) const {
    if constexpr (Decay == decay::decoupled) {
      w = hn::Mul(w, hn::Set(d, k.decay));
    } else {
      g = fused(d, hn::Set(d, k.weight_decay), w, g);
    }
    exp_avg = fused(d, hn::Set(d, k.beta1), exp_avg, hn::Mul(hn::Set(d, k.rest1), g));
    exp_avg_sq =
        fused(d, hn::Set(d, k.beta2), exp_avg_sq, hn::Mul(hn::Mul(hn::Set(d, k.rest2), g), g));
    const floats denominator =
        fused(d, hn::Sqrt(exp_avg_sq), hn::Set(d, k.root_correction), hn::Set(d, k.epsilon));
    w = fused(d, hn::Set(d, k.negative_step), hn::Div(exp_avg, denominator), w);
  }
};

struct sgd_rule {
  static constexpr int states = 1;
  detail::update_scalars k;

  HWY_INLINE void operator()(lanes d, floats g, floats& w, floats& momentum_buffer,
                             floats& /*none*/) const {
    const floats momentum = hn::Set(d, k.momentum);
    g = fused(d, hn::Set(d, k.weight_decay), w, g);
    momentum_buffer = fused(d, momentum, momentum_buffer, g);
    const floats direction = k.nesterov ? fused(d, momentum, momentum_buffer, g) : momentum_buffer;
    w = fused(d, hn::Set(d, k.negative_step), direction, w);
  }
};

struct lion_rule {
  static constexpr int states = 1;
  detail::update_scalars k;

  HWY_INLINE void operator()(lanes d, floats g, floats& w, floats& exp_avg,
                             floats& /*none*/) const {
    w = hn::Mul(w, hn::Set(d, k.decay));
    const floats c = fused(d, hn::Set(d, k.beta1), exp_avg, hn::Mul(hn::Set(d, k.rest1), g));
    exp_avg = fused(d, hn::Set(d, k.beta2), exp_avg, hn::Mul(hn::Set(d, k.rest2), g));
    const floats zero = hn::Zero(d);
    const floats not_above = hn::IfThenElse(hn::Lt(c, zero), hn::Set(d, -1.0F), c);
    const floats sign = hn::IfThenElse(hn::Gt(c, zero), hn::Set(d, 1.0F), not_above);
    w = fused(d, hn::Set(d, k.negative_step), sign, w);
  }
};

struct adagrad_rule {
  static constexpr int states = 1;
  detail::update_scalars k;

  HWY_INLINE void operator()(lanes d, floats g, floats& w, floats& sum, floats& /*none*/) const {
    g = fused(d, hn::Set(d, k.weight_decay), w, g);
    sum = fused(d, g, g, sum);
    const floats denominator = hn::Add(hn::Sqrt(sum), hn::Set(d, k.epsilon));
    w = fused(d, hn::Set(d, k.negative_step), hn::Div(g, denominator), w);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace zero::optim
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
