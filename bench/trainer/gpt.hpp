#pragma once
// gpt: the model on the host. Activations are fp32, products are CBLAS's; see model.hpp for what
// its calls promise.

#include "trainer/activations.hpp"
#include "trainer/attention.hpp"
#include "trainer/gpt_arguments.hpp"
#include "trainer/linear.hpp"
#include "trainer/model.hpp"

#include <zero/base/span.hpp>
#include <zero/base/typed_span.hpp>

#include <cstdint>

namespace zero::trainer {

class gpt final : public model {
 public:
  // Throws invalid_argument (numbers out of range, offload), out_of_memory.
  gpt(const gpt_config& config, const gpt_options& options);

  [[nodiscard]] std::size_t activation_bytes() const noexcept override {
    return activations_.bytes();
  }
  [[nodiscard]] const gpt_config& config() const noexcept override { return config_; }

  void embed_forward(span<const std::int32_t> tokens, int sequences, const_typed_span wte,
                     const_typed_span wpe) override;
  void block_forward(int layer, const block_parameters& parameters) override;
  void final_norm_forward(const_typed_span weight, const_typed_span bias) override;
  void head_forward(const_typed_span wte, span<const std::int32_t> targets, double* loss) override;
  void head_backward(const_typed_span wte, typed_span wte_gradient, float scale) override;
  void final_norm_backward(const_typed_span weight, typed_span weight_gradient,
                           typed_span bias_gradient) override;
  void block_backward(int layer, const block_parameters& parameters,
                      const block_gradients& gradients) override;
  void embed_backward(typed_span wte_gradient, typed_span wpe_gradient) override;
  void head_logits(const_typed_span wte, int row, span<float> logits) override;
  void fetch(const completion& after, const void* here, void* host, std::size_t bytes) override;

 private:
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
  gpt_arguments arguments_;
  activations activations_;
  int sequences_ = 0;         // of the forward at hand
  int length_ = 0;            // tokens of each
  int rows_ = 0;              // sequences_ * length_
  bool logits_kept_ = false;  // the logits of the whole vocabulary are still those of the forward
};

}  // namespace zero::trainer
