#pragma once
// loss_scale: what the loss is multiplied with so that fp16 gradients do not vanish.
//
// Changed only by record(). Who calls it with the same history holds the same scale, so that peers
// need not talk about it. One thread at a time.

#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::optim {

struct loss_scale_options {
  float initial = 1.0F;  // 1 and not dynamic: no scaling
  bool dynamic = false;
  float growth = 2.0F;   // factor after growth_interval clean steps in a row
  float backoff = 0.5F;  // factor after hysteresis overflows
  std::uint32_t growth_interval = 1000;
  std::uint32_t hysteresis = 1;  // the overflow, since the last growth, at which it falls
  float minimum = 1.0F;
  float maximum = 16777216.0F;  // 2^24
};

class loss_scale {
 public:
  // Throws invalid_argument unless initial is positive and finite and, for dynamic, 0 < minimum <=
  // initial <= maximum < infinity, 1 <= growth < infinity, 0 < backoff <= 1, growth_interval >= 1
  // and hysteresis >= 1.
  explicit loss_scale(const loss_scale_options& options = {});

  [[nodiscard]] float value() const noexcept { return value_; }
  // After each step: whether any gradients were not finite. The first hysteresis - 1 overflows
  // since the scale last grew (or since construction) only start the growth interval anew; every
  // later one multiplies by backoff as well. Never leaves [minimum, maximum].
  void record(bool overflow) noexcept;

  // What a checkpoint keeps.
  struct state {
    float value;
    std::uint32_t clean_steps;
    std::uint32_t tolerated;
  };
  [[nodiscard]] state save() const noexcept;
  void load(const state& saved) noexcept;

 private:
  loss_scale_options options_;
  float value_;
  std::uint32_t clean_steps_ = 0;
  std::uint32_t tolerated_;
};

}  // namespace zero::optim
#pragma GCC visibility pop
