#include <zero/base/error.hpp>
#include <zero/optim/loss_scale.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace zero::optim {
namespace {

void require(bool holds, const std::string& what, double found) {
  if (holds) return;
  throw invalid_argument("[optim.loss_scale] " + what + ", not " + std::to_string(found));
}

void check(const loss_scale_options& o) {
  require(std::isfinite(o.initial) && o.initial > 0, "initial must be positive", o.initial);
  if (!o.dynamic) return;
  require(std::isfinite(o.maximum), "maximum must be finite", o.maximum);
  require(o.minimum > 0, "minimum must be positive", o.minimum);
  require(o.minimum <= o.initial, "initial must be at least the minimum", o.initial);
  require(o.initial <= o.maximum, "initial must be at most the maximum", o.initial);
  require(std::isfinite(o.growth) && o.growth >= 1, "growth must be at least 1", o.growth);
  require(o.backoff > 0 && o.backoff <= 1, "backoff must be in (0, 1]", o.backoff);
  require(o.growth_interval >= 1, "growth_interval must be at least 1", o.growth_interval);
  require(o.hysteresis >= 1, "hysteresis must be at least 1", o.hysteresis);
}

}  // namespace

loss_scale::loss_scale(const loss_scale_options& options)
    : options_(options), value_(options.initial), tolerated_(options.hysteresis) {
  check(options);
}

void loss_scale::record(bool overflow) noexcept {
  if (!options_.dynamic) return;
  if (overflow) {
    clean_steps_ = 0;
    if (tolerated_ > 1) {
      --tolerated_;
    } else {  // and stays used up: the next overflow in a row falls at once
      value_ = std::max(value_ * options_.backoff, options_.minimum);
    }
  } else if (++clean_steps_ >= options_.growth_interval) {
    clean_steps_ = 0;
    tolerated_ = options_.hysteresis;
    value_ = std::min(value_ * options_.growth, options_.maximum);
  }
}

loss_scale::state loss_scale::save() const noexcept { return {value_, clean_steps_, tolerated_}; }

void loss_scale::load(const state& saved) noexcept {
  value_ = saved.value;
  clean_steps_ = saved.clean_steps;
  tolerated_ = saved.tolerated;
}

}  // namespace zero::optim
