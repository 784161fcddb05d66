#pragma once
// model: what a trainer asks of a GPT, one call for each use of a unit, wherever it computes.
//
// llm.c's conventions: learned positions, LayerNorm before each half (eps 1e-5), tanh GELU, causal
// attention scaled by 1/sqrt(head size), the head tied to the embedding. It knows nothing of who
// owns the parameters: they come with each call as borrowed spans, and so do the gradients, which
// it adds to. Shapes are those of model_of(config). Spans lie where the model computes; tokens,
// targets and logits are the host's.
//
// One object, one thread. All memory is taken at construction. The same inputs give the same bits
// wherever they lie in memory; with recomputation, too.
//
// Work is queued on the stream the model was made for, on the host done when a call returns; only
// fetch and head_logits block beyond that. Spans of a wrong count or dtype, tokens outside the
// vocabulary and calls out of range throw invalid_argument before anything is queued. A gradient
// whose data is null is not computed into.
//
// Calls of a step: embed_forward, block_forward 0 to L-1, final_norm_forward, head_forward, then
// the backwards in reverse. Backwards leave what the forward kept, so a second backward may follow
// unless activations are offloaded.

#include "trainer/gpt_model.hpp"

#include <zero/base/completion.hpp>
#include <zero/base/span.hpp>
#include <zero/base/typed_span.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace zero::trainer {

using block_parameters = std::array<const_typed_span, block_tensor_count>;
using block_gradients = std::array<typed_span, block_tensor_count>;

enum class recomputation : unsigned char {
  none,   // a backward finds what its forward kept
  block,  // only each block's input is kept; its backward makes the rest again
};

struct gpt_options {
  int batch = 1;     // sequences computed at once, at most
  int sequence = 0;  // tokens of each, at most; 0: the model's context
  recomputation recompute = recomputation::none;
  // dtype of the parameters. fp32 promises that every parameter and gradient is fp32, and saves
  // the room to widen them.
  dtype storage = dtype::fp32;
  // Blocks' inputs rest in host memory between forward and backward; needs recomputation::block
  // and a model that does not compute on the host.
  bool offload = false;
};

class model {
 public:
  model() = default;
  model(const model&) = delete;
  model& operator=(const model&) = delete;
  virtual ~model() = default;

  // Bytes of everything the object holds where it computes; constant.
  [[nodiscard]] virtual std::size_t activation_bytes() const noexcept = 0;
  // Bytes of activations in host memory, of a model that offloads them; constant.
  [[nodiscard]] virtual std::size_t offloaded_bytes() const noexcept { return 0; }
  [[nodiscard]] virtual const gpt_config& config() const noexcept = 0;

  // Starts a forward over tokens[sequences, length], length = tokens.size() / sequences, at most
  // gpt_options::sequence. 0 sequences are legal: every further call does nothing.
  virtual void embed_forward(span<const std::int32_t> tokens, int sequences, const_typed_span wte,
                             const_typed_span wpe) = 0;
  virtual void block_forward(int layer, const block_parameters& parameters) = 0;
  virtual void final_norm_forward(const_typed_span weight, const_typed_span bias) = 0;
  // *loss += the sum over tokens of the cross-entropy with targets[sequences, length], in nats.
  virtual void head_forward(const_typed_span wte, span<const std::int32_t> targets,
                            double* loss) = 0;

  // Gradients of scale * (what head_forward added): scale is the loss scale over the number of
  // tokens of the global batch.
  virtual void head_backward(const_typed_span wte, typed_span wte_gradient, float scale) = 0;
  virtual void final_norm_backward(const_typed_span weight, typed_span weight_gradient,
                                   typed_span bias_gradient) = 0;
  // With recomputation, needs the parameters that block_forward had.
  virtual void block_backward(int layer, const block_parameters& parameters,
                              const block_gradients& gradients) = 0;
  virtual void embed_backward(typed_span wte_gradient, typed_span wpe_gradient) = 0;

  // After final_norm_forward: logits[vocabulary] of the token that follows `row`
  // (sequence * length + position). Blocks.
  virtual void head_logits(const_typed_span wte, int row, span<float> logits) = 0;

  // Brings bytes from where the model computes to host memory, once `after` is done. Blocks until
  // they are there, but not for what is queued behind `after`.
  virtual void fetch(const completion& after, const void* here, void* host, std::size_t bytes) = 0;
};

}  // namespace zero::trainer
