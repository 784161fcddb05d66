#include "trainer/activations.hpp"

#include "trainer/attention.hpp"
#include "trainer/gpt_arguments.hpp"

#include <zero/base/bytes.hpp>

#include <algorithm>

namespace zero::trainer {

namespace {

// Hands out consecutive pieces, each starting on a cache line.
class carver {
 public:
  explicit carver(float* base) : base_(base) {}

  template <typename Element>
  void take(Element*& place, std::size_t count) {
    place = base_ == nullptr ? nullptr : reinterpret_cast<Element*>(base_ + used_);
    used_ += round_up(count * sizeof(Element), 64) / sizeof(float);
  }
  [[nodiscard]] std::size_t used() const noexcept { return used_; }

 private:
  float* base_;
  std::size_t used_ = 0;
};

}  // namespace

activations::activations(const gpt_config& config, const gpt_options& options, unplaced)
    : config_(config),
      options_(checked(config, options)),
      head_chunk_(std::min(config.vocabulary, std::max(4 * config.channels, 256))),
      streams_(static_cast<std::size_t>(config.layers) + 1),
      blocks_(options.recompute == recomputation::block ? 1
                                                        : static_cast<std::size_t>(config.layers)) {
  floats_ = place(nullptr);
}

activations::activations(const gpt_config& config, const gpt_options& options)
    : activations(config, options, unplaced{}) {
  block_ = pages_.allocate(floats_ * sizeof(float));
  place(static_cast<float*>(block_));
}

std::size_t activations::bytes_of(const gpt_config& config, const gpt_options& options) {
  return activations(config, options, unplaced{}).bytes();
}

activations::~activations() {
  if (block_ != nullptr) pages_.deallocate(block_, floats_ * sizeof(float));
}

std::size_t activations::place(float* base) {
  carver memory(base);
  const auto n = static_cast<std::size_t>(options_.batch) * options_.sequence;
  const auto c = static_cast<std::size_t>(config_.channels);
  const auto chunk = static_cast<std::size_t>(head_chunk_);
  const std::size_t attention_rows = n * static_cast<std::size_t>(config_.heads);
  for (float*& stream : streams_) memory.take(stream, n * c);
  for (block_activations& b : blocks_) {
    for (float** row : {&b.mean_1, &b.rstd_1, &b.mean_2, &b.rstd_2}) memory.take(*row, n);
    for (float** row : {&b.row_top, &b.row_inverse}) memory.take(*row, attention_rows);
    for (float** rows : {&b.attended, &b.middle}) memory.take(*rows, n * c);
    memory.take(b.qkv, n * 3 * c);
    memory.take(b.expanded, n * 4 * c);
  }
  for (float** row : {&final_mean, &final_rstd, &logit_top, &logit_inverse, &target_logit}) {
    memory.take(*row, n);
  }
  memory.take(logit_sum, n);
  memory.take(tokens, n);
  memory.take(targets, n);
  memory.take(order, n);
  memory.take(logits, n * chunk);
  for (float** rows : {&final_rows, &gradient, &normed, &narrow}) memory.take(*rows, n * c);
  for (float** rows : {&wide, &wider}) memory.take(*rows, n * 4 * c);
  memory.take(tile, attention_scratch(options_.sequence));
  if (options_.storage != dtype::fp32) {
    // The largest of a block's matrices and of the head's chunks.
    memory.take(weight, std::max(4 * c, chunk) * c);
  }
  for (float*& vector : vectors) memory.take(vector, 4 * c);
  return memory.used();
}

}  // namespace zero::trainer
