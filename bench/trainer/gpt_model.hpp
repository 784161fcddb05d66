#pragma once
// gpt_model: what a GPT registers, and the order it uses its units in.
//
// Names and shapes are those of GPT-2 as Hugging Face stores it: matrix products are y = x W + b
// with W of [in, out] ("Conv1D"). llm.c keeps [out, in]; its files are transposed when read.

#include "trainer/gpt_config.hpp"

#include <zero/partition/model_spec.hpp>

#include <array>
#include <vector>

namespace zero::trainer {

// Places of the tensors of unit "h.i", in registration order.
enum block_tensor : int {
  ln_1_weight,       // [C]
  ln_1_bias,         // [C]
  attn_attn_weight,  // [C, 3C]: columns are query, key, value, each by head
  attn_attn_bias,    // [3C]
  attn_proj_weight,  // [C, C]
  attn_proj_bias,    // [C]
  ln_2_weight,       // [C]
  ln_2_bias,         // [C]
  mlp_fc_weight,     // [C, 4C]
  mlp_fc_bias,       // [4C]
  mlp_proj_weight,   // [4C, C]
  mlp_proj_bias,     // [C]
};
inline constexpr int block_tensor_count = 12;

// "ln_1.weight", ..., "mlp.c_proj.bias": the name without its "h.i.".
[[nodiscard]] const char* name_of(block_tensor tensor) noexcept;

// Elements of each, in the order above.
[[nodiscard]] std::array<std::uint64_t, block_tensor_count> block_sizes(const gpt_config& config);

// Units "embedding" (wte.weight [V, C], wpe.weight [T, C]), "h.0" to "h.<L-1>", "ln_f" (weight,
// bias). The head is wte again and has no parameter. Group 0: matrices, which decay; group 1:
// biases and LayerNorm, which do not. Throws invalid_argument like check(config).
[[nodiscard]] partition::model_spec model_of(const gpt_config& config, dtype type);

// Multiplications and additions of the matrix products that a forward and a backward of
// `sequences` sequences of `length` tokens need: 6 for each element of a matrix and token, the head
// included, and attention's over the keys that each query sees. Nothing that is computed twice.
[[nodiscard]] double operations_of_step(const gpt_config& config, int sequences, int length);

// Units in the order a forward uses them: 0, 1 to L, L + 1, and 0 once more for the head. A
// backward uses them in the reverse order.
[[nodiscard]] std::vector<int> forward_order(const gpt_config& config);

}  // namespace zero::trainer
