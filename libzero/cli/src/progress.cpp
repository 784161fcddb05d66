#include "progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace zero::cli {

std::chrono::milliseconds between_shown(bool is_terminal) noexcept {
  return std::chrono::milliseconds(is_terminal ? 100 : 10'000);
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

progress::progress(std::string what, std::uint64_t steps, std::FILE* to)
    : what_(std::move(what)), steps_(steps), to_(to), is_terminal_(isatty(fileno(to)) == 1) {
  if (is_terminal_) fmt::print(to_, "{}: starting", what_);
  std::fflush(to_);
}

progress::~progress() {
  if (is_terminal_) std::fputs("\r\x1b[K", to_);
  std::fflush(to_);
}

void progress::show(std::uint64_t step, double loss, clock::time_point now) {
  if (first_step_ == 0) {
    first_ = now;
    shown_ = now;
    first_step_ = step;
    fmt::print(to_, "{}{}: {}{} steps{}", is_terminal_ ? "\r\x1b[K" : "", what_,
               step == 1 ? "" : fmt::format("step {} of ", step), steps_, is_terminal_ ? "" : "\n");
    std::fflush(to_);
    return;
  }
  if (now - shown_ < between_shown(is_terminal_)) return;
  shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - first_).count();
  const double rate = static_cast<double>(step - first_step_) / std::max(elapsed, 1e-9);
  const double left = static_cast<double>(steps_ - std::min(step, steps_)) / rate;
  fmt::print(to_, "{}{}: step {} of {}, loss {:.4f}, {:.3g} steps/s, {} left{}",
             is_terminal_ ? "\r\x1b[K" : "", what_, step, steps_, loss, rate, format_duration(left),
             is_terminal_ ? "" : "\n");
  std::fflush(to_);
}

}  // namespace zero::cli
