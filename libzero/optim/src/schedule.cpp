#include <zero/base/error.hpp>
#include <zero/optim/schedule.hpp>

#include <cmath>

namespace zero::optim {
namespace {

constexpr double pi = 3.14159265358979323846;

// The factor of the peak when `progress`, in (0, 1), of the way from warm-up to the end is gone.
double decayed(decay_shape shape, double progress, double final_fraction) noexcept {
  switch (shape) {
    case decay_shape::constant:
      return 1.0;
    case decay_shape::linear:
      return 1.0 - (1.0 - final_fraction) * progress;
    case decay_shape::cosine:
      return final_fraction + (1.0 - final_fraction) * 0.5 * (1.0 + std::cos(pi * progress));
  }
  return 1.0;
}

}  // namespace

const char* name_of(decay_shape shape) noexcept {
  switch (shape) {
    case decay_shape::constant:
      return "constant";
    case decay_shape::linear:
      return "linear";
    case decay_shape::cosine:
      return "cosine";
  }
  return "unknown";
}

decay_shape parse_decay_shape(const std::string& name) {
  for (const decay_shape shape :
       {decay_shape::constant, decay_shape::linear, decay_shape::cosine}) {
    if (name == name_of(shape)) return shape;
  }
  throw invalid_argument("[optim.schedule] shape '" + name +
                         "': accepted are constant, linear and cosine");
}

float learning_rate_schedule::at(std::uint64_t step) const noexcept {
  const double top = peak;
  if (step < warmup_steps) {
    return static_cast<float>(top * static_cast<double>(step) / static_cast<double>(warmup_steps));
  }
  if (step == warmup_steps || total_steps == 0 || shape == decay_shape::constant) return peak;
  const double last = final_fraction;
  if (step >= total_steps) return static_cast<float>(top * last);
  const double progress =
      static_cast<double>(step - warmup_steps) / static_cast<double>(total_steps - warmup_steps);
  return static_cast<float>(top * decayed(shape, progress, last));
}

}  // namespace zero::optim
