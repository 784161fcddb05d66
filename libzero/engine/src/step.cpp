// step: the recipe. reduce -> clip -> update -> publish, and the first gathers of what comes next.

#include "state.hpp"

#include <zero/base/error.hpp>

namespace zero {

step_result sharded_optimizer::state::step(float learning_rate) {
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (parameter_slots.holds(static_cast<int>(unit)) > 0) {
      throw invalid_argument("[engine.step] unit '" + layout.model().units[unit].name +
                             "' is still held: release it before the step changes it");
    }
  }
  {
    const verb_timer timer(*this, phase::reduce, -1);
    finish_reductions();
  }
  const clip_result clipped = clip();
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
