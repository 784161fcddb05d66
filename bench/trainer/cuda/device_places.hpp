#pragma once
// device_places: where everything a model computes on a device lies, in one block taken once.
//
// Pure arithmetic on addresses, for tests on the host too. Pieces begin on multiples of 256 bytes.

#include "trainer/cuda/column_kernels.hpp"
#include "trainer/cuda/matmul.hpp"
#include "trainer/cuda/token_order.hpp"
#include "trainer/model.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero::trainer::cuda {

// Block inputs that stay on the device where the others rest in host memory.
inline constexpr int resident_streams = 3;
// Most bytes of logits made at once; the rest of the rows wait.
inline constexpr std::size_t most_logits = std::size_t{4} << 30;

// What a block keeps for its backward, n = batch * sequence rows.
template <typename Element>
struct block_places {
  Element* normed_1;   // [n, C]
  Element* qkv;        // [n, 3C]
  Element* attended;   // [n, C]
  Element* middle;     // [n, C] residual stream after attention
  Element* normed_2;   // [n, C]
  Element* expanded;   // [n, 4C] before GELU
  Element* activated;  // [n, 4C] after it
  float* mean_1;       // [n]
  float* rstd_1;
  float* mean_2;
  float* rstd_2;
  float* top;  // [batch, H, T] of attention
};

// What the host makes of a batch's tokens and sends as one piece.
struct token_places {
  std::int32_t* tokens;   // [n]
  std::int32_t* targets;  // [n]
  std::int32_t* order;    // [n]
  token_piece* pieces;
  token_join* joins;
};

// Hands out consecutive pieces of a block; counts only where there is none.
class piece_carver {
 public:
  explicit piece_carver(void* base) noexcept : base_(static_cast<std::uint8_t*>(base)) {}

  template <typename Value>
  void take(Value*& place, std::size_t count) noexcept {
    place = base_ == nullptr ? nullptr : reinterpret_cast<Value*>(base_ + used_);
    used_ += (count * sizeof(Value) + 255) / 256 * 256;
  }
  [[nodiscard]] std::size_t used() const noexcept { return used_; }

 private:
  std::uint8_t* base_;
  std::size_t used_ = 0;
};

// Bytes behind `base`.
inline std::size_t place_tokens(token_places& at, std::size_t rows, void* base) noexcept {
  piece_carver memory(base);
  const token_order limits = token_order_limits(rows);
  memory.take(at.tokens, rows);
  memory.take(at.order, rows);
  memory.take(at.pieces, limits.pieces);
  memory.take(at.joins, limits.joins);
  memory.take(at.targets, rows);  // last: it comes later
  return memory.used();
}

template <typename Element>
struct device_places {
  std::vector<Element*> streams;  // [n, C] input of each block, and what the final norm sees
  std::vector<block_places<Element>> blocks;
  token_places tokens;
  float* final_mean;    // [n]
  float* final_rstd;    // [n]
  Element* final_rows;  // [n, C] what the head sees
  Element* logits;      // [head_rows, logit_stride], their slopes after the loss
  float* losses;        // [n]
  Element* gradient;    // [n, C] of the residual stream
  Element* narrow;      // [n, C]
  Element* wide;        // [n, 4C]
  float* inner;         // [batch, H, T] of attention
  float* partial;       // sums over chunks of rows
  float* slots;         // [slots, C] sums of pieces of tokens
  std::uint8_t* workspace;
  int head_rows;     // rows the head takes at once
  int logit_stride;  // elements from row to row of logits

  // `options` must have been checked. Returns the bytes behind `base`, null: counts only.
  std::size_t place(const gpt_config& config, const gpt_options& options, void* base) {
    piece_carver memory(base);
    const std::size_t n =
        static_cast<std::size_t>(options.batch) * static_cast<std::size_t>(options.sequence);
    const auto c = static_cast<std::size_t>(config.channels);
    const std::size_t attention_rows = n * static_cast<std::size_t>(config.heads);
    const bool again = options.recompute == recomputation::block;
    const std::size_t all = static_cast<std::size_t>(config.layers) + 1;
    streams.resize(options.offload ? std::min<std::size_t>(resident_streams, all) : all);
    blocks.resize(again ? 1 : static_cast<std::size_t>(config.layers));
    for (Element*& stream : streams) memory.take(stream, n * c);
    for (block_places<Element>& b : blocks) {
      for (Element** rows : {&b.normed_1, &b.attended, &b.middle, &b.normed_2}) {
        memory.take(*rows, n * c);
      }
      memory.take(b.qkv, n * 3 * c);
      for (Element** rows : {&b.expanded, &b.activated}) memory.take(*rows, n * 4 * c);
      for (float** row : {&b.mean_1, &b.rstd_1, &b.mean_2, &b.rstd_2}) memory.take(*row, n);
      memory.take(b.top, attention_rows);
    }
    std::uint8_t* sent = nullptr;
    memory.take(sent, place_tokens(tokens, n, nullptr));
    place_tokens(tokens, n, sent);
    place_head(config, n, memory);
    for (Element** rows : {&gradient, &narrow}) memory.take(*rows, n * c);
    memory.take(wide, n * 4 * c);
    memory.take(inner, attention_rows);
    memory.take(partial, static_cast<std::size_t>(most_column_chunks) * 4 * c);
    memory.take(slots, token_order_limits(n).slots * c);
    memory.take(workspace, matmul_workspace);
    return memory.used();
  }

 private:
  void place_head(const gpt_config& config, std::size_t n, piece_carver& memory) {
    // Rows of logits begin on 128 bytes, so that products of any vocabulary are aligned.
    constexpr int whole = static_cast<int>(128 / sizeof(Element));
    logit_stride = (config.vocabulary + whole - 1) / whole * whole;
    const std::size_t row = static_cast<std::size_t>(logit_stride) * sizeof(Element);
    head_rows = static_cast<int>(std::min(n, std::max<std::size_t>(1, most_logits / row)));
    for (float** each : {&final_mean, &final_rstd, &losses}) memory.take(*each, n);
    memory.take(final_rows, n * static_cast<std::size_t>(config.channels));
    memory.take(logits,
                static_cast<std::size_t>(head_rows) * static_cast<std::size_t>(logit_stride));
  }
};

}  // namespace zero::trainer::cuda
