#pragma once
// gpt_arguments: what every model refuses, wherever it computes. Each function throws
// invalid_argument with one line that says what is wrong.
//
// Immutable after construction; thread-safe.

#include "trainer/model.hpp"

#include <array>
#include <cstdint>

namespace zero::trainer {

// `options` with the sequence filled in. Throws invalid_argument for numbers out of range.
[[nodiscard]] gpt_options checked(const gpt_config& config, gpt_options options);

class gpt_arguments {
 public:
  gpt_arguments(const gpt_config& config, const gpt_options& options);

  void check_layer(int layer) const;
  void check_parameter(const_typed_span parameter, std::uint64_t count, const char* name) const;
  void check_gradient(typed_span gradient, std::uint64_t count, const char* name) const;
  void check_block(const block_parameters& parameters) const;
  void check_block(const block_gradients& gradients) const;
  void check_embedding(const_typed_span wte, const_typed_span wpe) const;
  void check_embedding(typed_span wte_gradient, typed_span wpe_gradient) const;
  void check_head(const_typed_span wte) const;
  void check_head(typed_span wte_gradient) const;
  // The tokens of `sequences` sequences, as embed_forward takes them.
  void check_batch(span<const std::int32_t> tokens, int sequences) const;
  void check_targets(span<const std::int32_t> targets, int rows) const;
  // As head_logits takes them.
  void check_logits(int row, int rows, span<float> logits) const;

 private:
  void check_tokens(span<const std::int32_t> tokens, const char* name) const;
  [[nodiscard]] std::uint64_t matrix(int rows) const noexcept;  // elements of [rows, C]

  gpt_config config_;
  gpt_options options_;
  std::array<std::uint64_t, block_tensor_count> sizes_;
};

}  // namespace zero::trainer
