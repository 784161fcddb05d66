// update, by the client's own rule: what it is shown of a cell, and what is made of it.

#include "plan_options.hpp"
#include "state.hpp"

#include <zero/base/error.hpp>

#include <exception>
#include <string>

namespace zero {

void sharded_optimizer::state::expect_rule(const range_function* rule) const {
  if (options.own_states < 0 && rule != nullptr) {
    throw invalid_argument(
        "[engine.step] options.own_states is -1: the built-in rule updates, not the client's");
  }
  if (options.own_states >= 0 && (rule == nullptr || !*rule)) {
    throw invalid_argument("[engine.step] options.own_states is " +
                           std::to_string(options.own_states) +
                           ": the client's own rule must be given");
  }
}

// The gradient is read by nobody after this step but the rule.
void sharded_optimizer::state::update_own(std::size_t index, const cell_under_way& area,
                                          float learning_rate, const optim::step_decision* by) {
  (plan.cells()[index].down ? tiers.host_work() : work).scale(area.gradient, by);
  try {
    show_cell(index, area, learning_rate, area.gradient, *own_rule);
  } catch (...) {
    // Peers would wait for what this rank does not publish any more.
    broken = std::current_exception();
    ranks.abort("[engine.step] the update rule of rank " + std::to_string(ranks.rank()) + " threw");
    throw;
  }
  make_parameters(index, area);
}

void sharded_optimizer::state::show_cell(std::size_t index, const cell_under_way& area,
                                         float learning_rate, const const_typed_span& gradient,
                                         const range_function& see) {
  const partition::cell& c = plan.cells()[index];
  const bool wide = area.parameter.type == dtype::fp32;
  // Parameters that rest elsewhere are what was made of the master weights.
  if (!wide && !plan.reached(buckets[c.bucket].plan->parameter_tier, c)) {
    make_parameters(index, area);
  }
  const std::size_t first_state = c.master ? 1 : 0;
  state_range range;
  range.state_count = all_states(options);
  range.on_device = !c.down && work.place() != memory_place::host;
  range.step = own_rule != nullptr ? decision_read()->steps : steps;
  for (const parameter_run& part : parameter_runs[index]) {
    const auto array = [&](std::size_t number) {
      return reinterpret_cast<float*>(area.optimizer + plan.array_offset(c, number)) + part.offset;
    };
    range.parameter = part.parameter;
    range.offset = part.parameter_offset;
    range.count = part.count;
    range.group = layout.parameter(part.parameter).group;
    range.learning_rate = constants_of(range.group, learning_rate).learning_rate;
    range.master = c.master ? array(0) : static_cast<float*>(area.parameter.data) + part.offset;
    range.parameters = wide ? const_typed_span{range.master, part.count, dtype::fp32}
                            : const_typed_span(area.parameter.part(part.offset, part.count));
    range.gradient =
        gradient.data != nullptr ? gradient.part(part.offset, part.count) : const_typed_span{};
    for (int i = 0; i < range.state_count; ++i) {
      range.states[i] = array(first_state + static_cast<std::size_t>(i));
    }
    see(range);
  }
}

void sharded_optimizer::state::make_parameters(std::size_t index, const cell_under_way& area) {
  const partition::cell& c = plan.cells()[index];
  if (area.parameter.type == dtype::fp32) return;
  optim::processor& where = c.down ? tiers.host_work() : work;
  const auto* const master =
      reinterpret_cast<const float*>(area.optimizer + plan.array_offset(c, 0));
  for (const update_run& run : runs[index]) {
    where.convert({master + run.offset, run.count, dtype::fp32},
                  area.parameter.part(run.offset, run.count));
  }
}

}  // namespace zero
