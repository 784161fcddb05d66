// step: the recipe. reduce -> clip -> update -> publish, and the first gathers of what comes next.

#include "state.hpp"

#include <zero/base/error.hpp>

#include <cmath>
#include <string>

namespace zero {

void sharded_optimizer::state::expect_none_held(const char* call) const {
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (parameter_slots.holds(static_cast<int>(unit)) == 0) continue;
    throw invalid_argument(std::string("[engine.") + call + "] unit '" +
                           layout.model().units[unit].name +
                           "' is still held: release it before its parameters change");
  }
}

step_result sharded_optimizer::state::step(float learning_rate) {
  expect_none_held("step");
  if (!std::isfinite(learning_rate)) {
    throw invalid_argument("[engine.step] the learning rate is not finite");
  }
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (units[unit].calls == units[unit].reductions) abandon(static_cast<int>(unit));
    units[unit].open = false;  // on top of kept gradients they are part of the step
  }
  {
    const verb_timer timer(*this, phase::reduce, -1);
    finish_reductions();
  }
  const clip_result clipped = clip(learning_rate);
  step_result result;
  result.gradient_norm = clipped.norm;
  result.skipped = !clipped.finite;
  result.loss_scale = scale.value();
  if (clipped.finite) {
    ++steps;
    parameter_slots.clear();  // what was gathered is about to be old
    for (std::size_t index = 0; index < buckets.size(); ++index) {
      if (!buckets[index].shape->trainable) continue;
      update(index, learning_rate, clipped.gradient_scale);
      publish(index);
    }
  }
  result.step = steps;
  scale.record(!clipped.finite);
  for (unit_progress& unit : units) {
    unit.calls = 0;
    unit.reductions = 0;
    unit.zeroed = false;
  }
  begin(pass::train);
  return result;
}

}  // namespace zero
