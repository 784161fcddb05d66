#pragma once
// attention: causal multi-head self-attention over one qkv matrix, forward and backward.
//
// The probabilities are never kept: a tile of `attention_tile` queries at a time, rows are made
// again in the backward from the greatest score and the inverse sum of each row, with the same
// bits. Pure, thread-safe on disjoint memory.

#include <cstddef>

namespace zero::trainer {

inline constexpr int attention_tile = 64;

struct attention_shape {
  int sequences = 0;
  int length = 0;  // tokens of each
  int heads = 0;
  int head_size = 0;
};

// Floats of scratch that both functions need for sequences of at most `length` tokens.
[[nodiscard]] std::size_t attention_scratch(int length) noexcept;

// out[row, C] from qkv[row, 3C], row = sequence * length + position, C = heads * head_size.
// row_top and row_inverse [sequences, heads, length] are written, for the backward.
void attention_forward(const attention_shape& shape, const float* qkv, float* out, float* row_top,
                       float* row_inverse, float* scratch);

// dqkv[row, 3C] = the gradient of qkv for the gradient dout[row, C] of out.
void attention_backward(const attention_shape& shape, const float* qkv, const float* out,
                        const float* row_top, const float* row_inverse, const float* dout,
                        float* dqkv, float* scratch);

}  // namespace zero::trainer
