// A transformer block, forward and backward, and the LayerNorm it shares with the model's end.

#include "trainer/gpt.hpp"
#include "trainer/kernels.hpp"
#include "trainer/storage.hpp"

namespace zero::trainer {

void gpt::norm_forward(const float* x, const_typed_span weight, const_typed_span bias, float* y,
                       float* mean, float* rstd) {
  layer_norm(x, as_fp32(weight, activations_.vectors[0]), as_fp32(bias, activations_.vectors[1]),
             static_cast<std::size_t>(rows_), static_cast<std::size_t>(config_.channels), y, mean,
             rstd);
}

void gpt::norm_again(const float* x, const_typed_span weight, const_typed_span bias,
                     const float* mean, const float* rstd, float* y) {
  layer_norm_again(x, as_fp32(weight, activations_.vectors[0]),
                   as_fp32(bias, activations_.vectors[1]), mean, rstd,
                   static_cast<std::size_t>(rows_), static_cast<std::size_t>(config_.channels), y);
}

void gpt::norm_backward(const float* x, const_typed_span weight, const float* mean,
                        const float* rstd, const float* dy, float* dx, typed_span dweight,
                        typed_span dbias) {
  if (rows_ == 0) return;
  // Room for C floats of weight, then as many of its gradient.
  float* widened = activations_.vectors[0];
  float* weight_sum = widened + config_.channels;
  float* bias_sum = activations_.vectors[1];
  layer_norm_backward(x, as_fp32(weight, widened), mean, rstd, dy, static_cast<std::size_t>(rows_),
                      static_cast<std::size_t>(config_.channels), dx, weight_sum, bias_sum);
  add(weight_sum, dweight);
  add(bias_sum, dbias);
}

void gpt::forward_to_expansion(int layer, const block_parameters& p) {
  const int c = config_.channels;
  const activations& a = activations_;
  const block_activations& b = a.block(layer);
  const float* in = a.stream(layer);
  const linear_room room{a.weight, a.vectors[0]};
  norm_forward(in, p[ln_1_weight], p[ln_1_bias], a.normed, b.mean_1, b.rstd_1);
  linear_forward(linear_of(c, 3 * c), a.normed, p[attn_attn_weight], p[attn_attn_bias], nullptr,
                 b.qkv, room);
  attention_forward(attention(), b.qkv, b.attended, b.row_top, b.row_inverse, a.tile);
  linear_forward(linear_of(c, c), b.attended, p[attn_proj_weight], p[attn_proj_bias], in, b.middle,
                 room);
  norm_forward(b.middle, p[ln_2_weight], p[ln_2_bias], a.normed, b.mean_2, b.rstd_2);
  linear_forward(linear_of(c, 4 * c), a.normed, p[mlp_fc_weight], p[mlp_fc_bias], nullptr,
                 b.expanded, room);
}

void gpt::block_forward(int layer, const block_parameters& parameters) {
  arguments_.check_layer(layer);
  arguments_.check_block(parameters);
  const int c = config_.channels;
  const activations& a = activations_;
  const block_activations& b = a.block(layer);
  forward_to_expansion(layer, parameters);
  gelu(b.expanded, static_cast<std::size_t>(rows_) * 4 * static_cast<std::size_t>(c), a.wide);
  linear_forward(linear_of(4 * c, c), a.wide, parameters[mlp_proj_weight],
                 parameters[mlp_proj_bias], b.middle, a.stream(layer + 1),
                 {a.weight, a.vectors[0]});
}

void gpt::block_backward(int layer, const block_parameters& parameters,
                         const block_gradients& gradients) {
  arguments_.check_layer(layer);
  arguments_.check_block(parameters);
  arguments_.check_block(gradients);
  if (options_.recompute == recomputation::block) forward_to_expansion(layer, parameters);
  backward_mlp(layer, parameters, gradients);
  backward_attention(layer, parameters, gradients);
}

void gpt::backward_mlp(int layer, const block_parameters& p, const block_gradients& g) {
  const int c = config_.channels;
  const activations& a = activations_;
  const block_activations& b = a.block(layer);
  const linear_room room{a.weight, a.vectors[0]};
  const std::size_t expanded = static_cast<std::size_t>(rows_) * 4 * static_cast<std::size_t>(c);
  gelu(b.expanded, expanded, a.wide);
  linear_backward(linear_of(4 * c, c), a.wide, p[mlp_proj_weight], a.gradient, a.wider,
                  g[mlp_proj_weight], g[mlp_proj_bias], room);
  gelu_backward(b.expanded, expanded, a.wider);
  norm_again(b.middle, p[ln_2_weight], p[ln_2_bias], b.mean_2, b.rstd_2, a.normed);
  linear_backward(linear_of(c, 4 * c), a.normed, p[mlp_fc_weight], a.wider, a.narrow,
                  g[mlp_fc_weight], g[mlp_fc_bias], room);
  norm_backward(b.middle, p[ln_2_weight], b.mean_2, b.rstd_2, a.narrow, a.gradient, g[ln_2_weight],
                g[ln_2_bias]);
}

void gpt::backward_attention(int layer, const block_parameters& p, const block_gradients& g) {
  const int c = config_.channels;
  const activations& a = activations_;
  const block_activations& b = a.block(layer);
  const linear_room room{a.weight, a.vectors[0]};
  linear_backward(linear_of(c, c), b.attended, p[attn_proj_weight], a.gradient, a.narrow,
                  g[attn_proj_weight], g[attn_proj_bias], room);
  attention_backward(attention(), b.qkv, b.attended, b.row_top, b.row_inverse, a.narrow, a.wide,
                     a.tile);
  norm_again(a.stream(layer), p[ln_1_weight], p[ln_1_bias], b.mean_1, b.rstd_1, a.normed);
  linear_backward(linear_of(c, 3 * c), a.normed, p[attn_attn_weight], a.wide, a.narrow,
                  g[attn_attn_weight], g[attn_attn_bias], room);
  norm_backward(a.stream(layer), p[ln_1_weight], b.mean_1, b.rstd_1, a.narrow, a.gradient,
                g[ln_1_weight], g[ln_1_bias]);
}

}  // namespace zero::trainer
