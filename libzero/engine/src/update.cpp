// update: one fused pass over what this rank keeps optimizer states of, cell by cell. Cells that
// rest off the device are fetched ahead and spilled behind, several under way at a time.

#include "cell_walk.hpp"
#include "shard_parts.hpp"
#include "state.hpp"
#include "verb_timer.hpp"

#include <algorithm>

namespace zero {

using partition::sharded_over;
using partition::tier;
using partition::updated_from;

// Neighbouring pieces of one group are one run: one call of the update kernel; those of one
// parameter one part: one call of a client's rule.
void sharded_optimizer::state::find_runs(std::size_t index) {
  const partition::cell& c = plan.cells()[index];
  const bucket_storage& b = buckets[c.bucket];
  if (!b.shape->trainable) return;
  std::vector<update_run>& found = runs[index];
  std::vector<parameter_run>& own_parts = parameter_runs[index];
  own_parts = parts_between(*this, c.bucket, b.plan->optimizer, c.begin, c.begin + c.count);
  for (const parameter_run& part : own_parts) {
    const int group = layout.parameter(part.parameter).group;
    if (!found.empty() && found.back().group == group &&
        found.back().offset + found.back().count == part.offset) {
      found.back().count += part.count;
    } else {
      found.push_back({part.offset, part.count, group});
    }
  }
}

// The reduced gradient over exactly what the update walks, if that is on the device.
const_typed_span sharded_optimizer::state::update_gradient(std::size_t index) {
  bucket_storage& b = buckets[index];
  if (b.plan->gradient_tier != tier::device) return {};
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

bool sharded_optimizer::state::block_is_free() const noexcept {
  const cell_under_way& area = under_way[next_block];
  return area.spilled.ready() && area.risen.ready() && area.used.ready();
}

cell_under_way& sharded_optimizer::state::take_block(std::size_t cell) noexcept {
  block_of[cell] = next_block;
  next_block = (next_block + 1) % under_way.size();
  return under_way[block_of[cell]];
}

// Ahead only into a block that is free again: waiting for it would hold up what is there already.
// Nothing is gained by beginning what rests on the device, and one memory serves all buckets whose
// gradients are gathered apart. How far ahead one is differs between ranks: that puts no collective
// out of order, since pieces are exchanged over other communicators than parameters are published.
bool sharded_optimizer::state::may_begin(std::size_t cell, std::size_t current) const noexcept {
  if (cell == current) return true;
  if (cell >= current + under_way.size()) return false;
  const partition::cell& c = plan.cells()[cell];
  return tiered(c.bucket) && block_is_free() &&
         (buckets[c.bucket].plan->update != updated_from::apart ||
          c.bucket == plan.cells()[current].bucket);
}

void sharded_optimizer::state::begin_cell(std::size_t index, errand why) {
  const partition::cell& c = plan.cells()[index];
  bucket_storage& b = buckets[c.bucket];
  if (index == b.plan->first_cell) {
    b.update_source = why == errand::step ? update_gradient(c.bucket) : const_typed_span{};
    // The lane knows nothing of the queue.
    if (tiered(c.bucket)) queue.record().wait();
  }
  if (b.early && c.down) return;
  cell_under_way& area = take_block(index);
  if (tiered(c.bucket)) fetch_cell(index, area, why);
}

void sharded_optimizer::state::update_all(float learning_rate) {
  walk_cells(errand::step,
             [&](std::size_t index) { update_cell(index, learning_rate, decision_read()); });
}

// `by` is the host's decision; the device has its own.
void sharded_optimizer::state::update_cell(std::size_t index, float learning_rate,
                                           const optim::step_decision* by) {
  const partition::cell& c = plan.cells()[index];
  cell_under_way& area = under_way[block_of[index]];
  if (!c.down) by = decision_here();
  {
    const verb_timer timer(*this, phase::update, buckets[c.bucket].shape->unit);
    clear_padding(index, area);
    if (own_rule != nullptr) {
      update_own(index, area, learning_rate, by);
    } else if (options.formats.states != optim::state_format::fp32 || packed_master(c)) {
      update_packed(index, area, learning_rate, by);
    } else {
      update_runs(index, area, learning_rate, by);
    }
  }
  if (tiered(c.bucket)) spill_cell(index, area);
}

// Between the runs of a cell lies padding. Where its parameters are made in a block, what another
// cell left there must not rest with them.
void sharded_optimizer::state::clear_padding(std::size_t index, const cell_under_way& area) {
  const partition::cell& c = plan.cells()[index];
  if (plan.reached(buckets[c.bucket].plan->parameter_tier, c) || reads_parameter(c)) return;
  std::uint64_t covered = 0;
  for (const update_run& run : runs[index]) covered += run.count;
  if (covered < c.count) (c.down ? tiers.host_work() : work).clear(area.parameter);
}

optim::hyper sharded_optimizer::state::constants_of(int group, float learning_rate) const noexcept {
  const parameter_group& chosen = options.groups[static_cast<std::size_t>(group)];
  optim::hyper constants = chosen.constants;
  constants.learning_rate = learning_rate * chosen.learning_rate_factor;
  return constants;
}

// All arrays in fp32: one pass a run.
void sharded_optimizer::state::update_runs(std::size_t index, const cell_under_way& area,
                                           float learning_rate, const optim::step_decision* by) {
  const partition::cell& c = plan.cells()[index];
  optim::processor& where = c.down ? tiers.host_work() : work;
  const int states = optim::state_count(options.algorithm);
  for (const update_run& run : runs[index]) {
    const auto array = [&](std::size_t number) {
      return reinterpret_cast<float*>(area.optimizer + plan.array_offset(c, number)) + run.offset;
    };
    optim::update_spans spans;
    spans.count = run.count;
    spans.master = c.master ? array(0) : static_cast<float*>(area.parameter.data) + run.offset;
    spans.gradient = const_typed_span(area.gradient).part(run.offset, run.count);
    for (int i = 0; i < states; ++i) {
      spans.state[i] = array(static_cast<std::size_t>(i) + (c.master ? 1 : 0));
    }
    if (area.parameter.type != dtype::fp32) {
      spans.parameter = area.parameter.part(run.offset, run.count);
    }
    const optim::hyper constants = constants_of(run.group, learning_rate);
    where.update(options.algorithm, constants, by, spans);
  }
}

void sharded_optimizer::state::update_packed(std::size_t index, const cell_under_way& area,
                                             float learning_rate, const optim::step_decision* by) {
  const partition::cell& c = plan.cells()[index];
  packed_runs.clear();
  for (const update_run& run : runs[index]) {
    packed_runs.push_back({run.offset, run.count, constants_of(run.group, learning_rate)});
  }
  optim::packed_spans spans = packed_weights(c, area.optimizer, area.parameter);
  spans.gradient = area.gradient;
  for (int i = 0; i < optim::state_count(options.algorithm); ++i) {
    spans.state[i] =
        area.optimizer + plan.array_offset(c, static_cast<std::size_t>(i) + (c.master ? 1 : 0));
  }
  (c.down ? tiers.host_work() : work).update_packed(options.algorithm, packed_runs, by, spans);
}

}  // namespace zero
