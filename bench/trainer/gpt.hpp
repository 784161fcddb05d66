#pragma once
// gpt: forward and backward of a decoder-only GPT, one call for each use of a unit.
//
// llm.c's conventions: learned positions, LayerNorm before each half (eps 1e-5), tanh GELU, causal
// attention scaled by 1/sqrt(head size), the head tied to the embedding. It knows nothing of who
// owns the parameters: they come with each call as borrowed spans, and so do the gradients, which
// it adds to. Shapes are those of model_of(config).
//
// One object, one thread. All memory is taken by the constructor. Activations are fp32. The same
// inputs give the same bits wherever they lie in memory; with recomputation, too.
//
// Calls of a step: embed_forward, block_forward 0 to L-1, final_norm_forward, head_forward, then
// the backwards in reverse. Backwards leave what the forward kept, so a second backward may follow.

#include "trainer/activations.hpp"
#include "trainer/attention.hpp"
#include "trainer/gpt_model.hpp"
#include "trainer/linear.hpp"

#include <zero/base/span.hpp>
#include <zero/base/typed_span.hpp>

#include <array>
#include <cstdint>

namespace zero::trainer {

using block_parameters = std::array<const_typed_span, block_tensor_count>;
using block_gradients = std::array<typed_span, block_tensor_count>;

class gpt {
 public:
  // Throws invalid_argument (numbers out of range), out_of_memory.
  gpt(const gpt_config& config, const gpt_options& options);

  // Bytes of everything the object holds; constant.
  [[nodiscard]] std::size_t activation_bytes() const noexcept { return activations_.bytes(); }
  [[nodiscard]] const gpt_config& config() const noexcept { return config_; }

  // All functions block until done. Spans of a wrong count or dtype, tokens outside the
  // vocabulary and calls out of range throw invalid_argument before anything is computed.
  // dtypes: fp32, or any of fp32, bf16, fp16 if gpt_options::storage is not fp32. A gradient whose
  // data is null is not computed into.

  // Starts a forward over tokens[sequences, length], length = tokens.size() / sequences, at most
  // gpt_options::sequence. 0 sequences are legal: every further call does nothing.
  void embed_forward(span<const std::int32_t> tokens, int sequences, const_typed_span wte,
                     const_typed_span wpe);
  void block_forward(int layer, const block_parameters& parameters);
  void final_norm_forward(const_typed_span weight, const_typed_span bias);
  // Sum over tokens of the cross-entropy with targets[sequences, length], in nats.
  [[nodiscard]] double head_forward(const_typed_span wte, span<const std::int32_t> targets);

  // Gradients of scale * (what head_forward returned): scale is the loss scale over the number of
  // tokens of the global batch.
  void head_backward(const_typed_span wte, typed_span wte_gradient, float scale);
  void final_norm_backward(const_typed_span weight, typed_span weight_gradient,
                           typed_span bias_gradient);
  // With recomputation, needs the parameters that block_forward had.
  void block_backward(int layer, const block_parameters& parameters,
                      const block_gradients& gradients);
  void embed_backward(typed_span wte_gradient, typed_span wpe_gradient);

  // After final_norm_forward: logits[vocabulary] of the token that follows `row`
  // (sequence * length + position).
  void head_logits(const_typed_span wte, int row, span<float> logits);

 private:
  void check_layer(int layer) const;
  void check_parameter(const_typed_span parameter, std::uint64_t count, const char* name) const;
  void check_gradient(typed_span gradient, std::uint64_t count, const char* name) const;
  void check_block(const block_parameters& parameters) const;
  void check_tokens(span<const std::int32_t> tokens, const char* name) const;

  // Everything of a block's forward up to the input of its last product.
  void forward_to_expansion(int layer, const block_parameters& p);
  void backward_mlp(int layer, const block_parameters& p, const block_gradients& g);
  void backward_attention(int layer, const block_parameters& p, const block_gradients& g);
  void norm_forward(const float* x, const_typed_span weight, const_typed_span bias, float* y,
                    float* mean, float* rstd);
  void norm_again(const float* x, const_typed_span weight, const_typed_span bias, const float* mean,
                  const float* rstd, float* y);
  void norm_backward(const float* x, const_typed_span weight, const float* mean, const float* rstd,
                     const float* dy, float* dx, typed_span dweight, typed_span dbias);

  // Logits of all rows for the vocabulary [first, first + count).
  const float* head_chunk(const_typed_span wte, int first, int count);
  void make_logits(const float* weight, int count);
  void slope_of_logits(int first, int count, float scale);

  [[nodiscard]] linear_shape linear_of(int in, int out) const noexcept { return {rows_, in, out}; }
  [[nodiscard]] attention_shape attention() const noexcept;

  gpt_config config_;
  gpt_options options_;
  std::array<std::uint64_t, block_tensor_count> sizes_;
  activations activations_;
  int sequences_ = 0;         // of the forward at hand
  int length_ = 0;            // tokens of each
  int rows_ = 0;              // sequences_ * length_
  bool logits_kept_ = false;  // the logits of the whole vocabulary are still those of the forward
};

}  // namespace zero::trainer
