#pragma once
// The trainer's own optimizer: AdaMax, Kingma and Ba, arXiv:1412.6980, section 7.1. libzero has no
// such rule.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

// Some weights and their gradient, wherever they lie.
struct weights {
  float* values;
  const float* gradient;
  std::size_t count;
};

// The rule on one run of elements; mean and most are its states. step counts from 1.
inline void adamax_update(weights w, float* mean, float* most, unsigned long long step,
                          float learning_rate) {
  constexpr float beta1 = 0.9F, beta2 = 0.999F, epsilon = 1e-8F;
  const float rate =
      learning_rate / (1.0F - static_cast<float>(std::pow(0.9, static_cast<double>(step))));
  for (std::size_t i = 0; i < w.count; ++i) {
    const float g = w.gradient[i];
    mean[i] = beta1 * mean[i] + (1.0F - beta1) * g;
    most[i] = std::max(beta2 * most[i], std::fabs(g));
    w.values[i] -= rate * mean[i] / (most[i] + epsilon);
  }
}

class adamax {
 public:
  explicit adamax(std::vector<weights> all) : all_(std::move(all)) {
    for (const weights& w : all_) {
      mean_.emplace_back(w.count);
      most_.emplace_back(w.count);
    }
  }

  void step(float learning_rate) {
    ++step_;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      adamax_update(all_[i], mean_[i].data(), most_[i].data(), step_, learning_rate);
    }
  }

 private:
  std::vector<weights> all_;
  std::vector<std::vector<float>> mean_, most_;
  unsigned long long step_ = 0;
};
