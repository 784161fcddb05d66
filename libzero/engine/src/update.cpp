// update: one fused pass over what this rank keeps optimizer states of.

#include "state.hpp"
#include "verb_timer.hpp"

namespace zero {

using partition::sharded_over;
using partition::updated_from;

// The reduced gradient over exactly what the update walks.
const_typed_span sharded_optimizer::state::update_gradient(std::size_t index) {
  bucket_storage& b = buckets[index];
  typed_span run;
  switch (b.plan->update) {
    case updated_from::reduced:
      return reduced_piece(index);
    case updated_from::around:
      wait(b.exchanged);
      return reduced_run(index);
    case updated_from::full_front:
      run = {b.gradient.data(), update_length(index), b.plan->reduced_type};
      break;
    case updated_from::apart:
      run = {gathered_gradient.data(), update_length(index), b.plan->reduced_type};
      break;
    case updated_from::nowhere:
      return {};
  }
  const auto among = plan.groups().gathers(sharded_over::world, b.plan->optimizer);
  b.exchanged = groups.over(among).all_gather(
      reduced_piece(index), run, call_of(name_of(phase::reduce), static_cast<int>(index)));
  wait(b.exchanged);
  return run;
}

void sharded_optimizer::state::update(std::size_t index, float learning_rate) {
  const bucket_storage& b = buckets[index];
  const const_typed_span gradient = update_gradient(index);
  const typed_span parameter = parameters_over(index, b.plan->optimizer);
  const verb_timer timer(*this, phase::update, b.shape->unit);
  const int states = optim::state_count(options.algorithm);
  for (const update_run& run : b.runs) {
    const parameter_group& group = options.groups[static_cast<std::size_t>(run.group)];
    optim::hyper constants = group.constants;
    constants.learning_rate = learning_rate * group.learning_rate_factor;
    optim::update_spans spans;
    spans.count = run.count;
    spans.master = master(index) + run.offset;
    spans.gradient = gradient.part(run.offset, run.count);
    for (int i = 0; i < states; ++i) spans.state[i] = optimizer_state(index, i) + run.offset;
    if (b.plan->master) spans.parameter = parameter.part(run.offset, run.count);
    work.update(options.algorithm, constants, decision_here(), spans);
  }
}

}  // namespace zero
