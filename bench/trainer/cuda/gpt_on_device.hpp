#pragma once
// gpt_on_device: the model on a GPU; see model.hpp for what its calls promise. Activations,
// parameters and gradients are Elements, statistics and sums fp32, sums of losses fp64.
//
// Everything is queued on one stream; tokens go there through pinned memory that is used in turn,
// so the host runs ahead by a few micro-batches before it has to wait. No sum depends on which
// thread comes first.

#include "trainer/cuda/device_places.hpp"
#include "trainer/cuda/kernels.hpp"
#include "trainer/cuda/linear_on_device.hpp"
#include "trainer/cuda/stream_store.hpp"
#include "trainer/gpt_arguments.hpp"
#include "trainer/model.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/stream.hpp>

#include <array>
#include <memory>
#include <vector>

namespace zero::trainer::cuda {

// Owned bytes of a resource.
class owned_block {
 public:
  owned_block(memory_resource& from, std::size_t bytes)
      : from_(from), bytes_(bytes), data_(from.allocate(bytes)) {}
  ~owned_block() { from_.deallocate(data_, bytes_); }
  owned_block(const owned_block&) = delete;
  owned_block& operator=(const owned_block&) = delete;
  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  memory_resource& from_;
  std::size_t bytes_;
  void* data_;
};

template <typename Element>
class gpt_on_device final : public model {
 public:
  gpt_on_device(cuda_device& device, stream& queue, const gpt_config& config,
                const gpt_options& options);
  ~gpt_on_device() override;

  [[nodiscard]] std::size_t activation_bytes() const noexcept override { return memory_.bytes(); }
  [[nodiscard]] std::size_t offloaded_bytes() const noexcept override {
    return streams_.host_bytes();
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
  // Pinned memory a batch's tokens are sent from.
  struct sending {
    token_places at;
    completion sent;          // all that was copied from here
    completion targets_sent;  // of that, the targets
  };
  static constexpr std::size_t sendings = 4;

  using block = block_places<Element>;
  [[nodiscard]] static const Element* read(const_typed_span parameter);
  [[nodiscard]] static Element* add_to(typed_span gradient);
  [[nodiscard]] block& block_of(int layer) noexcept {
    return places_.blocks[places_.blocks.size() == 1 ? 0 : static_cast<std::size_t>(layer)];
  }
  [[nodiscard]] Element* stream_to_write(int i) {
    return static_cast<Element*>(streams_.to_write(i));
  }
  [[nodiscard]] Element* stream_to_read(int i) {
    return static_cast<Element*>(streams_.to_read(i));
  }
  [[nodiscard]] linear_sizes sizes(int in, int out) const noexcept { return {rows_, in, out}; }
  [[nodiscard]] attention_arguments<Element> attention(const block& b) const noexcept;
  void send(const void* from, void* to, std::size_t bytes);
  void norm(const Element* x, const_typed_span weight, const_typed_span bias, Element* y,
            float* mean, float* rstd);
  void norm_back(const Element* x, const_typed_span weight, const float* mean, const float* rstd,
                 const Element* dy, typed_span dweight, typed_span dbias);
  // Everything of a block's forward up to the input of its last product.
  void forward_to_activation(int layer, const block_parameters& p);
  void backward_mlp(int layer, const block_parameters& p, const block_gradients& g);
  void backward_attention(int layer, const block_parameters& p, const block_gradients& g);
  // Logits of rows [first, first + count), the losses of these rows and the logits' slopes.
  void make_slopes(const Element* wte, int first, int count);

  gpt_config config_;
  gpt_options options_;
  gpt_arguments arguments_;
  cuda_device& device_;
  stream& queue_;
  owned_block memory_;
  device_places<Element> places_;
  owned_block pinned_;
  std::array<sending, sendings> sendings_;
  std::size_t turn_ = 0;
  token_order order_;
  stream_store streams_;
  linear_on_device<Element> linear_;
  std::unique_ptr<stream> aside_;  // brings bytes to the host past what is queued
  std::vector<Element> logits_;    // a row of them on the host
  std::vector<std::uint64_t> keys_;
  int sequences_ = 0;  // of the forward at hand
  int length_ = 0;     // tokens of each
  int rows_ = 0;       // sequences_ * length_
};

}  // namespace zero::trainer::cuda
