#include "typed_elements.hpp"
#include "update_scalars.hpp"

#include <zero/base/float16.hpp>

#include <cmath>

namespace zero::optim {
namespace {

using detail::update_scalars;

float adam(const update_scalars& k, float g, float w, float& exp_avg, float& exp_avg_sq) {
  exp_avg = std::fma(k.beta1, exp_avg, k.rest1 * g);
  exp_avg_sq = std::fma(k.beta2, exp_avg_sq, (k.rest2 * g) * g);
  const float denominator = std::fma(std::sqrt(exp_avg_sq), k.root_correction, k.epsilon);
  return std::fma(k.negative_step, exp_avg / denominator, w);
}

float sgd(const update_scalars& k, float g, float w, float& momentum_buffer) {
  momentum_buffer = std::fma(k.momentum, momentum_buffer, g);
  const float direction = k.nesterov ? std::fma(k.momentum, momentum_buffer, g) : momentum_buffer;
  return std::fma(k.negative_step, direction, w);
}

float lion(const update_scalars& k, float g, float w, float& exp_avg) {
  const float c = std::fma(k.beta1, exp_avg, k.rest1 * g);
  exp_avg = std::fma(k.beta2, exp_avg, k.rest2 * g);
  const float sign = c > 0.0F ? 1.0F : c < 0.0F ? -1.0F : c;  // NaN stays NaN
  return std::fma(k.negative_step, sign, w);
}

float adagrad(const update_scalars& k, float g, float w, float& sum) {
  sum = std::fma(g, g, sum);
  return std::fma(k.negative_step, g / (std::sqrt(sum) + k.epsilon), w);
}

float next_weight(algorithm a, const update_scalars& k, float g, float w, float& s0, float& s1) {
  const float decayed_gradient = std::fma(k.weight_decay, w, g);
  switch (a) {
    case algorithm::adamw:
      return adam(k, g, w * k.decay, s0, s1);
    case algorithm::adam:
      return adam(k, decayed_gradient, w, s0, s1);
    case algorithm::sgd:
      return sgd(k, decayed_gradient, w, s0);
    case algorithm::lion:
      return lion(k, g, w * k.decay, s0);
    case algorithm::adagrad:
      return adagrad(k, decayed_gradient, w, s0);
  }
  return w;
}

}  // namespace

void update_reference(algorithm a, const hyper& constants, const step_scalars& scalars,
                      const update_spans& spans) {
  detail::check(a, scalars, spans);
  const update_scalars k = detail::make_scalars(a, constants, scalars);
  float unused = 0.0F;
  for (std::size_t i = 0; i < spans.count; ++i) {
    const float g = detail::load(spans.gradient, i) * k.gradient_scale;
    float& s1 = spans.state[1] != nullptr ? spans.state[1][i] : unused;
    spans.master[i] = next_weight(a, k, g, spans.master[i], spans.state[0][i], s1);
    if (spans.parameter.data != nullptr) detail::store(spans.parameter, i, spans.master[i]);
  }
}

}  // namespace zero::optim
