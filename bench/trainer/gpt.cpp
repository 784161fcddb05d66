// The ends of the model: checks, embedding, final LayerNorm and head.

#include "trainer/gpt.hpp"

#include "trainer/blas.hpp"
#include "trainer/kernels.hpp"
#include "trainer/storage.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>

namespace zero::trainer {

gpt::gpt(const gpt_config& config, const gpt_options& options)
    : config_(config),
      options_(options),
      arguments_(config, options),
      activations_(config, options) {
  if (options.offload) throw invalid_argument("activations on the host are there already");
}

attention_shape gpt::attention() const noexcept {
  return {sequences_, length_, config_.heads, config_.channels / config_.heads};
}

void gpt::fetch(const completion& after, const void* here, void* host, std::size_t bytes) {
  after.wait();
  std::memcpy(host, here, bytes);
}

// ---- embedding ---------------------------------------------------------------------------------

void gpt::embed_forward(span<const std::int32_t> tokens, int sequences, const_typed_span wte,
                        const_typed_span wpe) {
  const auto c = static_cast<std::size_t>(config_.channels);
  arguments_.check_embedding(wte, wpe);
  arguments_.check_batch(tokens, sequences);
  sequences_ = sequences;
  rows_ = static_cast<int>(tokens.size());
  length_ = sequences == 0 ? 0 : rows_ / sequences;
  logits_kept_ = false;
  std::copy(tokens.begin(), tokens.end(), activations_.tokens);
  for (int row = 0; row < rows_; ++row) {
    float* out = activations_.stream(0) + static_cast<std::size_t>(row) * c;
    widen(wte.part(static_cast<std::size_t>(tokens[static_cast<std::size_t>(row)]) * c, c), out);
    const auto position = static_cast<std::size_t>(row % length_);
    add_to(as_fp32(wpe.part(position * c, c), activations_.vectors[0]), c, out);
  }
}

void gpt::embed_backward(typed_span wte_gradient, typed_span wpe_gradient) {
  const auto c = static_cast<std::size_t>(config_.channels);
  arguments_.check_embedding(wte_gradient, wpe_gradient);
  const auto rows = static_cast<std::uint64_t>(rows_);
  float* sum = activations_.vectors[0];
  // Rows of the same token are summed in fp32, in order of position, and added once.
  std::uint64_t* order = activations_.order;
  for (std::uint64_t row = 0; row < rows; ++row) {
    order[row] = static_cast<std::uint64_t>(activations_.tokens[row]) << 32 | row;
  }
  std::sort(order, order + rows);
  for (std::uint64_t first = 0; first < rows && wte_gradient.data != nullptr;) {
    const std::uint64_t token = order[first] >> 32;
    std::fill(sum, sum + c, 0.0f);
    for (; first < rows && order[first] >> 32 == token; ++first) {
      add_to(activations_.gradient + (order[first] & 0xffffffffu) * c, c, sum);
    }
    add(sum, wte_gradient.part(token * c, c));
  }
  for (int t = 0; t < length_ && wpe_gradient.data != nullptr; ++t) {
    std::fill(sum, sum + c, 0.0f);
    for (int s = 0; s < sequences_; ++s) {
      add_to(activations_.gradient + static_cast<std::size_t>(s * length_ + t) * c, c, sum);
    }
    add(sum, wpe_gradient.part(static_cast<std::size_t>(t) * c, c));
  }
}

// ---- final LayerNorm ---------------------------------------------------------------------------

void gpt::final_norm_forward(const_typed_span weight, const_typed_span bias) {
  const auto c = static_cast<std::uint64_t>(config_.channels);
  arguments_.check_parameter(weight, c, "ln_f.weight");
  arguments_.check_parameter(bias, c, "ln_f.bias");
  norm_forward(activations_.stream(config_.layers), weight, bias, activations_.final_rows,
               activations_.final_mean, activations_.final_rstd);
}

void gpt::final_norm_backward(const_typed_span weight, typed_span weight_gradient,
                              typed_span bias_gradient) {
  const auto c = static_cast<std::uint64_t>(config_.channels);
  arguments_.check_parameter(weight, c, "ln_f.weight");
  arguments_.check_gradient(weight_gradient, c, "ln_f.weight");
  arguments_.check_gradient(bias_gradient, c, "ln_f.bias");
  std::fill_n(activations_.gradient, static_cast<std::size_t>(rows_) * c, 0.0f);
  norm_backward(activations_.stream(config_.layers), weight, activations_.final_mean,
                activations_.final_rstd, activations_.narrow, activations_.gradient,
                weight_gradient, bias_gradient);
}

}  // namespace zero::trainer
