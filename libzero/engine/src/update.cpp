// update: one fused pass over what this rank keeps optimizer states of.

#include "state.hpp"

namespace zero {

using partition::reduced_in;

// The reduced gradient over exactly what the update walks.
const_typed_span sharded_optimizer::state::update_gradient(std::size_t index) {
  const bucket_storage& b = buckets[index];
  const typed_span shard = reduced_shard(index);
  if (!b.plan->gather_gradients) return shard;
  const typed_span own_full = full_gradient(index);
  if (b.plan->reduced == reduced_in::own_piece) return own_full;  // gathered when it was reduced

  const typed_span full = b.plan->reduced_type == b.shape->type
                              ? own_full
                              : typed_span{gathered_gradient.data(), b.shape->padded, dtype::fp32};
  wait(ranks.all_gather(shard, full, call_of(name_of(phase::reduce), static_cast<int>(index))));
  return full;
}

void sharded_optimizer::state::update(std::size_t index, float learning_rate) {
  const bucket_storage& b = buckets[index];
  const const_typed_span gradient = update_gradient(index);
  const typed_span parameter = b.plan->optimizer_sharded
                                   ? own_parameters(index)
                                   : typed_span{b.parameter.data(), b.shape->padded, b.shape->type};
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
