#pragma once
// learning_rate_schedule: the learning rate of a step. Immutable values; thread-safe.

#include <cstdint>
#include <string>

#pragma GCC visibility push(default)
namespace zero::optim {

enum class decay_shape : unsigned char { constant, linear, cosine };

[[nodiscard]] const char* name_of(decay_shape shape) noexcept;
// The inverse. Throws invalid_argument that lists what is accepted.
[[nodiscard]] decay_shape parse_decay_shape(const std::string& name);

struct learning_rate_schedule {
  float peak = 1e-3F;
  float final_fraction = 0.0F;     // of peak, reached at total_steps and held after
  std::uint64_t warmup_steps = 0;  // linear from peak / warmup_steps at step 1
  std::uint64_t total_steps = 0;   // 0: the shape never decays
  decay_shape shape = decay_shape::constant;

  // Learning rate of step `step`, from 1. Pure; computed in fp64, rounded once. Up to warmup_steps
  // the warm-up counts, even where total_steps is smaller; formulas in README.md.
  [[nodiscard]] float at(std::uint64_t step) const noexcept;
};

}  // namespace zero::optim
#pragma GCC visibility pop
