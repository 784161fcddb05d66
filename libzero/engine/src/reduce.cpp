// reduce: full gradients become reduced pieces, summed over ranks and over reductions, and those
// what the update reads.

#include "state.hpp"
#include "verb_timer.hpp"

#include <zero/base/error.hpp>

#include <string>

namespace zero {

using partition::no_slot;
using partition::reduced_in;
using partition::updated_from;

// Finds the unit's full gradients a place, waits until nobody reads what was there, zeroes it.
void sharded_optimizer::state::take_gradients(int unit) {
  expect_open("gradients");
  unit_progress& progress = units[static_cast<std::size_t>(unit)];
  if (progress.calls == options.accumulate) {
    // At rest the reduced shard may lie in the full gradient's own memory.
    throw invalid_argument("[engine.gradients] unit '" +
                           layout.model().units[static_cast<std::size_t>(unit)].name +
                           "' was reduced " + std::to_string(options.accumulate) +
                           " times since the last step: step, or raise accumulate");
  }
  progress.open = true;
  if (progress.zeroed) return;
  finish_spill(unit);
  const verb_timer timer(*this, phase::reduce, unit);
  if (gradient_slots.needs_slot(unit) && gradient_slots.holds(unit) == 0) {
    std::size_t planned = no_slot;
    for (const partition::slot_use& use : plan.gradient_slots().uses) {
      if (use.unit == unit) planned = use.slot;
    }
    const std::size_t slot = gradient_slots.choose(unit, planned);
    if (slot == no_slot) {
      throw invalid_argument("[engine.gradients] no slot is left for unit '" +
                             layout.model().units[static_cast<std::size_t>(unit)].name +
                             "': reduce the units whose gradients were taken before it");
    }
    if (gradient_slots.unit_in(slot) >= 0) finish_spill(gradient_slots.unit_in(slot));
    wait(slot_reductions[slot]);
    gradient_slots.place(unit, slot);
    gradient_slots.hold(unit);
    trace_slots();
  }
  for (const std::size_t index : layout.buckets_of(unit)) {
    if (!buckets[index].shape->trainable) continue;
    wait(buckets[index].reduced);
    work.clear(full_gradient(index));
  }
  progress.zeroed = true;
}

void sharded_optimizer::state::expect_open(const char* call) const {
  if (!norm_taken) return;
  throw invalid_argument(std::string("[engine.") + call +
                         "] the norm of the next step's gradients was asked for, so they are "
                         "final: step first");
}

void sharded_optimizer::state::reduce(int unit) {
  expect_open("reduce");
  unit_progress& progress = units[static_cast<std::size_t>(unit)];
  if (progress.calls == options.accumulate) {
    throw invalid_argument("[engine.reduce] unit '" +
                           layout.model().units[static_cast<std::size_t>(unit)].name +
                           "' is reduced more than " + std::to_string(options.accumulate) +
                           " times between two steps: raise accumulate");
  }
  spill_landed();
  take_gradients(unit);  // nothing was added: zeros are contributed
  progress.open = false;
  ++progress.calls;
  const bool kept_for_later = plan.options().keep_gradients && progress.calls < options.accumulate;
  if (kept_for_later) return;
  queue_unit_reduce(unit);
  if (progress.calls == options.accumulate) update_early(unit);
  progress_early(false);
}

// Forgets gradients that were taken and never reduced, and frees the slot they were in.
void sharded_optimizer::state::abandon(int unit) {
  unit_progress& progress = units[static_cast<std::size_t>(unit)];
  if (!progress.open) return;
  progress.open = false;
  progress.zeroed = false;
  if (gradient_slots.needs_slot(unit) && gradient_slots.holds(unit) > 0) {
    gradient_slots.drop(unit);
    trace_slots();
  }
}

void sharded_optimizer::state::queue_unit_reduce(int unit) {
  const verb_timer timer(*this, phase::reduce, unit);
  unit_progress& progress = units[static_cast<std::size_t>(unit)];
  completion last;
  for (const std::size_t index : layout.buckets_of(unit)) {
    if (!buckets[index].shape->trainable) continue;
    const bool first = progress.reductions == 0;
    // What is in codes lands later.
    const bool spills = buckets[index].plan->gradient_tier != partition::tier::device &&
                        (alone() || plan.options().quantized_reduce == 0);
    if (spills) take_staging(index, first);
    if (alone()) {
      reduce_alone(index, first);
    } else if (plan.options().quantized_reduce > 0) {
      queue_reduce_codes(index, first, progress.calls == options.accumulate);
    } else {
      queue_reduce(index, first);
    }
    if (spills) spill_later(index);
    last = buckets[index].reduced;
  }
  progress.reductions = progress.calls;
  progress.zeroed = false;
  if (progress.calls == options.accumulate && plan.options().quantized_reduce == 0) {
    for (const std::size_t index : layout.buckets_of(unit)) {
      // What is staged has not landed.
      if (buckets[index].plan->reduced != reduced_in::full_front) queue_exchange(index);
    }
  }
  if (gradient_slots.needs_slot(unit)) {
    slot_reductions[gradient_slots.slot_of(unit)] = last;
    gradient_slots.drop(unit);
    trace_slots();
  }
}

// A world of one issues no collective: its sum is its own gradient.
void sharded_optimizer::state::reduce_alone(std::size_t index, bool first) {
  if (buckets[index].plan->reduced == reduced_in::staged) {
    return work.convert(full_gradient(index), reduced_piece(index));
  }
  if (buckets[index].plan->reduced != reduced_in::shard) return;
  if (first) {
    work.convert(full_gradient(index), reduced_piece(index));
  } else {
    work.accumulate(full_gradient(index), reduced_piece(index));
  }
}

void sharded_optimizer::state::queue_reduce(std::size_t index, bool first) {
  bucket_storage& b = buckets[index];
  const typed_span full = full_gradient(index);
  const auto how = [&] { return call_of(name_of(phase::reduce), static_cast<int>(index)); };
  switch (b.plan->reduced) {
    case reduced_in::shard:
      b.reduced = groups.world().reduce_scatter(
          full, reduced_piece(index),
          first ? collectives::write_mode::overwrite : collectives::write_mode::accumulate, how());
      break;
    case reduced_in::staged:  // what is there already is added to below
    case reduced_in::own_piece:
      b.reduced = groups.world().reduce_scatter(full, reduced_piece(index),
                                                collectives::write_mode::overwrite, how());
      break;
    case reduced_in::full_front: {
      // Peers read all of the full gradient, so the wider shard waits beside it until they have.
      land(next_staging);
      b.reduced = groups.world().reduce_scatter(
          full, {reduced_staging[next_staging].data(), b.shape->shard, b.plan->reduced_type},
          collectives::write_mode::overwrite, how());
      staged_bucket[next_staging] = index;
      next_staging ^= 1U;
      break;
    }
    case reduced_in::local:
    case reduced_in::nowhere:
      break;
  }
}

// A staging for the bucket's reduced piece, where it needs one. The first sum of a step is
// rounded to what it rests in; those that are added to it there come as they are.
void sharded_optimizer::state::take_staging(std::size_t index, bool first) {
  bucket_storage& b = buckets[index];
  spill_gradient(index);  // of an earlier reduction
  b.first_landing = first;
  if (b.plan->reduced != reduced_in::staged) return;
  const std::size_t before = staged_gradient[next_gradient_staging];
  if (before != no_bucket_staged) {
    spill_gradient(before);
    buckets[before].spilled.wait();
  }
  b.staging = next_gradient_staging;
  staged_gradient[next_gradient_staging] = index;
  next_gradient_staging ^= 1U;
}

void sharded_optimizer::state::land(std::size_t staging_index) {
  const std::size_t index = staged_bucket[staging_index];
  if (index == no_bucket_staged) return;
  wait(buckets[index].reduced);
  const typed_span shard = reduced_piece(index);
  work.copy({reduced_staging[staging_index].data(), shard.count, shard.type}, shard);
  staged_bucket[staging_index] = no_bucket_staged;
  queue_exchange(index);
}

// Once in a step, after its last reduction: the reduced piece of this rank and those of the ranks
// that update the same shard. Does not block.
void sharded_optimizer::state::queue_exchange(std::size_t index) {
  bucket_storage& b = buckets[index];
  if (b.plan->update != updated_from::around || b.exchange_queued) return;
  b.exchange_queued = true;
  const auto among = plan.groups().gathers(partition::sharded_over::world, b.plan->optimizer);
  b.exchanged = groups.over(among).all_gather(
      reduced_piece(index), reduced_run(index),
      call_of(name_of(phase::reduce), static_cast<int>(index), b.reduced));
}

// After this every reduced piece is where reduced_piece() says, and on its way to where the update
// reads it; units nobody reduced have zeros.
void sharded_optimizer::state::finish_reductions() {
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    const unit_progress& progress = units[unit];
    if (progress.calls > progress.reductions) queue_unit_reduce(static_cast<int>(unit));
  }
  for (std::size_t i = 0; i < staged_bucket.size(); ++i) land(i);
  land_codes(coded[next_coded]);
  land_codes(coded[next_coded ^ 1U]);
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    const bucket_storage& b = buckets[index];
    if (!b.shape->trainable) continue;
    if (units[static_cast<std::size_t>(b.shape->unit)].reductions > 0) queue_exchange(index);
  }
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    const bucket_storage& b = buckets[index];
    if (!b.shape->trainable) continue;
    wait(b.reduced);
    spill_gradient(index);
    if (units[static_cast<std::size_t>(b.shape->unit)].reductions > 0) continue;
    if (b.plan->gradient_tier != partition::tier::device) {
      work.clear({squares_of(index), sizeof(double), dtype::byte});
      continue;
    }
    work.clear(b.plan->update == updated_from::around ? reduced_run(index) : reduced_piece(index));
  }
}

}  // namespace zero
