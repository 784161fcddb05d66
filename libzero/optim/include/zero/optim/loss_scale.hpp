#pragma once
// loss_scale: what the loss is multiplied with so that fp16 gradients do not vanish.
//
// Changed only by record(), which every rank must call with the same argument; so all ranks hold
// the same scale without talking about it.

#include <cstdint>

namespace zero::optim {

struct loss_scale_options {
  float initial = 1.0F;  // 1 and not dynamic: no scaling
  bool dynamic = false;
  float growth = 2.0F;   // factor after growth_interval clean steps in a row
  float backoff = 0.5F;  // factor after hysteresis overflows
  std::uint32_t growth_interval = 1000;
  std::uint32_t hysteresis = 1;  // overflows tolerated before the scale falls
  float minimum = 1.0F;
  float maximum = 16777216.0F;  // 2^24
};

class loss_scale {
 public:
  // Throws invalid_argument unless 0 < minimum <= initial <= maximum (for dynamic), growth >= 1,
  // 0 < backoff <= 1, and intervals are at least 1.
  explicit loss_scale(const loss_scale_options& options = {});

  [[nodiscard]] float value() const noexcept { return value_; }
  // After each step: whether any rank's gradients were not finite.
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
