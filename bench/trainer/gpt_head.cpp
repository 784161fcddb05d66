// The head: logits a chunk of the vocabulary at a time, so that memory does not grow with it.

#include "trainer/blas.hpp"
#include "trainer/gpt.hpp"
#include "trainer/kernels.hpp"
#include "trainer/storage.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace zero::trainer {

const float* gpt::head_chunk(const_typed_span wte, int first, int count) {
  const auto c = static_cast<std::size_t>(config_.channels);
  return as_fp32(wte.part(static_cast<std::size_t>(first) * c, static_cast<std::size_t>(count) * c),
                 activations_.weight);
}

void gpt::make_logits(const float* weight, int count) {
  const int c = config_.channels;
  matmul(operand::plain, operand::transposed, rows_, count, c, 1.0f, activations_.final_rows, c,
         weight, c, 0.0f, activations_.logits, count);
}

void gpt::head_forward(const_typed_span wte, span<const std::int32_t> targets, double* loss) {
  arguments_.check_head(wte);
  arguments_.check_targets(targets, rows_);
  activations& a = activations_;
  std::copy(targets.begin(), targets.end(), a.targets);
  std::fill_n(a.logit_top, rows_, -std::numeric_limits<float>::infinity());
  std::fill_n(a.logit_sum, rows_, 0.0);
  for (int first = 0; first < config_.vocabulary; first += a.head_chunk()) {
    const int count = std::min(a.head_chunk(), config_.vocabulary - first);
    make_logits(head_chunk(wte, first, count), count);
    for (int row = 0; row < rows_; ++row) {
      const float* logits = a.logits + static_cast<std::size_t>(row) * count;
      const int target = a.targets[row] - first;
      if (target >= 0 && target < count) a.target_logit[row] = logits[target];
      // The sum so far is moved to the greatest logit so far.
      const auto width = static_cast<std::size_t>(count);
      const float top = std::max(greatest(logits, width), a.logit_top[row]);
      const double moved = first == 0 ? 0.0 : std::exp(double{a.logit_top[row]} - double{top});
      a.logit_sum[row] = a.logit_sum[row] * moved + double{sum_of_exponentials(logits, width, top)};
      a.logit_top[row] = top;
    }
  }
  logits_kept_ = a.head_chunk() == config_.vocabulary;
  double sum = 0;
  for (int row = 0; row < rows_; ++row) {
    a.logit_inverse[row] = static_cast<float>(1.0 / a.logit_sum[row]);
    sum += std::log(a.logit_sum[row]) + double{a.logit_top[row]} - double{a.target_logit[row]};
  }
  *loss += sum;
}

// logits -> scale * (softmax - one at the target), in place.
void gpt::slope_of_logits(int first, int count, float scale) {
  for (int row = 0; row < rows_; ++row) {
    float* logits = activations_.logits + static_cast<std::size_t>(row) * count;
    scaled_exponentials(logits, static_cast<std::size_t>(count), activations_.logit_top[row],
                        activations_.logit_inverse[row] * scale);
    const int target = activations_.targets[row] - first;
    if (target >= 0 && target < count) logits[target] -= scale;
  }
}

void gpt::head_backward(const_typed_span wte, typed_span wte_gradient, float scale) {
  arguments_.check_head(wte);
  arguments_.check_head(wte_gradient);
  if (rows_ == 0) return;
  activations& a = activations_;
  const int c = config_.channels;
  for (int first = 0; first < config_.vocabulary; first += a.head_chunk()) {
    const int count = std::min(a.head_chunk(), config_.vocabulary - first);
    const float* weight = head_chunk(wte, first, count);
    if (!logits_kept_) make_logits(weight, count);
    slope_of_logits(first, count, scale);
    matmul(operand::plain, operand::plain, rows_, c, count, 1.0f, a.logits, count, weight, c,
           first == 0 ? 0.0f : 1.0f, a.narrow, c);
    if (wte_gradient.data == nullptr) continue;
    const auto at = static_cast<std::size_t>(first) * static_cast<std::size_t>(c);
    const auto size = static_cast<std::size_t>(count) * static_cast<std::size_t>(c);
    add_product(count, c, rows_, a.logits, count, a.final_rows, c, wte_gradient.part(at, size),
                a.weight);
  }
  logits_kept_ = false;
}

void gpt::head_logits(const_typed_span wte, int row, span<float> logits) {
  arguments_.check_head(wte);
  arguments_.check_logits(row, rows_, logits);
  const int c = config_.channels;
  for (int first = 0; first < config_.vocabulary; first += activations_.head_chunk()) {
    const int count = std::min(activations_.head_chunk(), config_.vocabulary - first);
    matmul(operand::plain, operand::transposed, 1, count, c, 1.0f,
           activations_.final_rows + static_cast<std::size_t>(row) * static_cast<std::size_t>(c), c,
           head_chunk(wte, first, count), c, 0.0f, logits.data() + first, count);
  }
}

}  // namespace zero::trainer
