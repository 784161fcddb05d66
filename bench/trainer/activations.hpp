#pragma once
// activations: every byte a gpt needs, in one block taken once.
//
// Immutable places in uninitialised memory; pages are touched when first used.

#include "trainer/model.hpp"

#include <zero/base/dtype.hpp>
#include <zero/base/memory_resource.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero::trainer {

// What a block keeps for its backward, n = batch * sequence rows.
struct block_activations {
  float* mean_1 = nullptr;       // [n] of ln_1
  float* rstd_1 = nullptr;       // [n]
  float* qkv = nullptr;          // [n, 3C]
  float* attended = nullptr;     // [n, C]
  float* row_top = nullptr;      // [batch, H, T] of attention
  float* row_inverse = nullptr;  // [batch, H, T]
  float* middle = nullptr;       // [n, C] residual stream after attention
  float* mean_2 = nullptr;       // [n] of ln_2
  float* rstd_2 = nullptr;       // [n]
  float* expanded = nullptr;     // [n, 4C] before GELU
};

class activations {
 public:
  // Throws invalid_argument (numbers out of range), out_of_memory.
  activations(const gpt_config& config, const gpt_options& options);
  // What bytes() of such an object would be; takes no memory. Throws invalid_argument likewise.
  [[nodiscard]] static std::size_t bytes_of(const gpt_config& config, const gpt_options& options);
  ~activations();
  activations(const activations&) = delete;
  activations& operator=(const activations&) = delete;

  [[nodiscard]] std::size_t bytes() const noexcept { return floats_ * sizeof(float); }
  [[nodiscard]] float* stream(int layer) const noexcept { return streams_[std::size_t(layer)]; }
  [[nodiscard]] const block_activations& block(int layer) const noexcept {
    return blocks_[blocks_.size() == 1 ? 0 : std::size_t(layer)];
  }

  // Vocabulary entries the head takes at once, so that no scratch grows with the vocabulary.
  [[nodiscard]] int head_chunk() const noexcept { return head_chunk_; }

  float* final_mean = nullptr;      // [n]
  float* final_rstd = nullptr;      // [n]
  float* final_rows = nullptr;      // [n, C] what the head sees
  float* logits = nullptr;          // [n, head_chunk]
  float* logit_top = nullptr;       // [n] greatest logit
  float* logit_inverse = nullptr;   // [n] 1 / sum of exp(logit - top)
  double* logit_sum = nullptr;      // [n]
  float* target_logit = nullptr;    // [n]
  std::int32_t* tokens = nullptr;   // [n]
  std::int32_t* targets = nullptr;  // [n]
  std::uint64_t* order = nullptr;   // [n] positions sorted by token

  float* gradient = nullptr;  // [n, C] of the residual stream
  float* normed = nullptr;    // [n, C]
  float* narrow = nullptr;    // [n, C]
  float* wide = nullptr;      // [n, 4C]
  float* wider = nullptr;     // [n, 4C]
  float* tile = nullptr;      // attention_scratch
  float* weight = nullptr;    // 4C * C, or null where storage is fp32
  float* vectors[2] = {};     // 4C each

 private:
  struct unplaced {};
  activations(const gpt_config& config, const gpt_options& options, unplaced only_counted);
  // Gives every pointer its place behind `base` (null: only counts); returns floats used.
  std::size_t place(float* base);

  gpt_config config_;
  gpt_options options_;
  int head_chunk_ = 0;
  std::vector<float*> streams_;  // [n, C] input of each block, and what the final norm sees
  std::vector<block_activations> blocks_;
  std::size_t floats_ = 0;
  page_resource pages_;
  void* block_ = nullptr;
};

}  // namespace zero::trainer
