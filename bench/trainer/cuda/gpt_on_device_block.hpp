#pragma once
// A transformer block on a GPU, forward and backward, and the head: definitions of gpt_on_device,
// included where it is instantiated.

#include "trainer/cuda/gpt_on_device.hpp"

#include <zero/base/native_cuda.hpp>

#include <algorithm>
#include <cmath>

namespace zero::trainer::cuda {

template <typename Element>
attention_arguments<Element> gpt_on_device<Element>::attention(const block& b) const noexcept {
  const int size = config_.channels / config_.heads;
  // Gradients of out lie in `narrow`, those of qkv go to `wide`.
  return {b.qkv,
          b.attended,
          b.top,
          places_.narrow,
          places_.inner,
          places_.wide,
          sequences_,
          length_,
          config_.heads,
          size,
          1.0F / std::sqrt(static_cast<float>(size))};
}

template <typename Element>
void gpt_on_device<Element>::forward_to_activation(int layer, const block_parameters& p) {
  const int c = config_.channels;
  const block& b = block_of(layer);
  const Element* in = stream_to_read(layer);
  norm(in, p[ln_1_weight], p[ln_1_bias], b.normed_1, b.mean_1, b.rstd_1);
  linear_.forward(sizes(c, 3 * c), b.normed_1, read(p[attn_attn_weight]), read(p[attn_attn_bias]),
                  nullptr, b.qkv);
  attention_forward(zero::cuda::native(queue_), attention(b));
  linear_.forward(sizes(c, c), b.attended, read(p[attn_proj_weight]), read(p[attn_proj_bias]), in,
                  b.middle);
  norm(b.middle, p[ln_2_weight], p[ln_2_bias], b.normed_2, b.mean_2, b.rstd_2);
  linear_.forward_gelu(sizes(c, 4 * c), b.normed_2, read(p[mlp_fc_weight]), read(p[mlp_fc_bias]),
                       b.expanded, b.activated);
}

template <typename Element>
void gpt_on_device<Element>::block_forward(int layer, const block_parameters& parameters) {
  arguments_.check_layer(layer);
  arguments_.check_block(parameters);
  if (rows_ == 0) return;
  const zero::cuda::current_device here(device_.ordinal());
  const int c = config_.channels;
  const block& b = block_of(layer);
  forward_to_activation(layer, parameters);
  linear_.forward(sizes(4 * c, c), b.activated, read(parameters[mlp_proj_weight]),
                  read(parameters[mlp_proj_bias]), b.middle, stream_to_write(layer + 1));
  streams_.leave(layer);
}

template <typename Element>
void gpt_on_device<Element>::block_backward(int layer, const block_parameters& parameters,
                                            const block_gradients& gradients) {
  arguments_.check_layer(layer);
  arguments_.check_block(parameters);
  arguments_.check_block(gradients);
  if (rows_ == 0) return;
  const zero::cuda::current_device here(device_.ordinal());
  if (options_.recompute == recomputation::block) forward_to_activation(layer, parameters);
  backward_mlp(layer, parameters, gradients);
  backward_attention(layer, parameters, gradients);
  streams_.drop(layer);
}

template <typename Element>
void gpt_on_device<Element>::backward_mlp(int layer, const block_parameters& p,
                                          const block_gradients& g) {
  const int c = config_.channels;
  const block& b = block_of(layer);
  const device_places<Element>& a = places_;
  linear_.backward_weight(sizes(4 * c, c), b.activated, a.gradient, add_to(g[mlp_proj_weight]),
                          add_to(g[mlp_proj_bias]));
  linear_.backward_input(sizes(4 * c, c), a.gradient, read(p[mlp_proj_weight]), b.expanded, a.wide);
  linear_.backward_weight(sizes(c, 4 * c), b.normed_2, a.wide, add_to(g[mlp_fc_weight]),
                          add_to(g[mlp_fc_bias]));
  linear_.backward_input(sizes(c, 4 * c), a.wide, read(p[mlp_fc_weight]), nullptr, a.narrow);
  norm_back(b.middle, p[ln_2_weight], b.mean_2, b.rstd_2, a.narrow, g[ln_2_weight], g[ln_2_bias]);
}

template <typename Element>
void gpt_on_device<Element>::backward_attention(int layer, const block_parameters& p,
                                                const block_gradients& g) {
  const int c = config_.channels;
  const block& b = block_of(layer);
  const device_places<Element>& a = places_;
  linear_.backward_weight(sizes(c, c), b.attended, a.gradient, add_to(g[attn_proj_weight]),
                          add_to(g[attn_proj_bias]));
  linear_.backward_input(sizes(c, c), a.gradient, read(p[attn_proj_weight]), nullptr, a.narrow);
  attention_backward(zero::cuda::native(queue_), attention(b));
  linear_.backward_weight(sizes(c, 3 * c), b.normed_1, a.wide, add_to(g[attn_attn_weight]),
                          add_to(g[attn_attn_bias]));
  linear_.backward_input(sizes(c, 3 * c), a.wide, read(p[attn_attn_weight]), nullptr, a.narrow);
  norm_back(stream_to_read(layer), p[ln_1_weight], b.mean_1, b.rstd_1, a.narrow, g[ln_1_weight],
            g[ln_1_bias]);
}

// ---- the head ----------------------------------------------------------------------------------

template <typename Element>
void gpt_on_device<Element>::make_slopes(const Element* wte, int first, int count) {
  const device_places<Element>& a = places_;
  const Element* x =
      a.final_rows + static_cast<std::size_t>(first) * static_cast<std::size_t>(config_.channels);
  linear_.run(logits_product(count, config_.channels, config_.vocabulary, a.logit_stride,
                             dtype_of<Element>),
              wte, x, a.logits, 1.0F);
  cross_entropy(
      zero::cuda::native(queue_), count,
      cross_entropy_arguments<Element>{a.logits, a.tokens.targets + first, a.losses + first,
                                       config_.vocabulary, a.logit_stride, true});
}

template <typename Element>
void gpt_on_device<Element>::head_forward(const_typed_span wte, span<const std::int32_t> targets,
                                          double* loss) {
  arguments_.check_head(wte);
  arguments_.check_targets(targets, rows_);
  const Element* rows = read(wte);
  if (rows_ == 0) return;
  const zero::cuda::current_device here(device_.ordinal());
  sending& mine = sendings_[turn_];
  // The forward may be evaluated again with other targets: what was sent first must have left.
  mine.targets_sent.wait();
  std::copy(targets.begin(), targets.end(), mine.at.targets);
  send(mine.at.targets, places_.tokens.targets, targets.size_bytes());
  mine.sent = mine.targets_sent = queue_.record();
  for (int first = 0; first < rows_; first += places_.head_rows) {
    make_slopes(rows, first, std::min(places_.head_rows, rows_ - first));
  }
  add_losses(zero::cuda::native(queue_), places_.losses, rows_, loss);
}

// The slopes are those of the loss itself: what scales it scales the products.
template <typename Element>
void gpt_on_device<Element>::head_backward(const_typed_span wte, typed_span wte_gradient,
                                           float scale) {
  arguments_.check_head(wte);
  arguments_.check_head(wte_gradient);
  const Element* weight = read(wte);
  Element* gradient = add_to(wte_gradient);
  if (rows_ == 0) return;
  const zero::cuda::current_device here(device_.ordinal());
  const device_places<Element>& a = places_;
  const int c = config_.channels;
  for (int first = 0; first < rows_; first += a.head_rows) {
    const int count = std::min(a.head_rows, rows_ - first);
    if (rows_ > a.head_rows) make_slopes(weight, first, count);
    const std::size_t at = static_cast<std::size_t>(first) * static_cast<std::size_t>(c);
    linear_.run(head_input_product(count, c, config_.vocabulary, a.logit_stride, dtype_of<Element>),
                weight, a.logits, a.narrow + at, scale);
    if (gradient == nullptr) continue;
    linear_.run(
        head_weight_product(count, c, config_.vocabulary, a.logit_stride, dtype_of<Element>),
        a.final_rows + at, a.logits, gradient, scale);
  }
}

template <typename Element>
void gpt_on_device<Element>::head_logits(const_typed_span wte, int row, span<float> logits) {
  arguments_.check_head(wte);
  arguments_.check_logits(row, rows_, logits);
  const zero::cuda::current_device here(device_.ordinal());
  const Element* x = places_.final_rows +
                     static_cast<std::size_t>(row) * static_cast<std::size_t>(config_.channels);
  linear_.run(logits_product(1, config_.channels, config_.vocabulary, places_.logit_stride,
                             dtype_of<Element>),
              read(wte), x, places_.logits, 1.0F);
  fetch(queue_.record(), places_.logits, logits_.data(), logits_.size() * sizeof(Element));
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = widened(logits_[i]);
}

}  // namespace zero::trainer::cuda
