// gather: shards become the full parameters of a unit, ahead of their use where the schedule is
// known.

#include "state.hpp"
#include "verb_timer.hpp"

#include <zero/base/error.hpp>
#include <zero/base/quantized.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace zero {

using partition::no_slot;
using partition::rank_group;
using partition::sharded_over;

namespace {

std::string names_of_held(const slot_pool& pool, const partition::model_spec& model) {
  std::string names;
  for (std::size_t unit = 0; unit < model.units.size(); ++unit) {
    if (pool.holds(static_cast<int>(unit)) == 0) continue;
    names += (names.empty() ? "'" : ", '") + model.units[unit].name + "'";
  }
  return names;
}

}  // namespace

void sharded_optimizer::state::begin(pass kind) {
  expect_whole();
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    if (units[unit].open && units[unit].calls > units[unit].reductions) {
      throw invalid_argument("[engine.begin_micro_batch] unit '" + layout.model().units[unit].name +
                             "' has gradients that were not reduced on top of kept ones, and they "
                             "cannot be told apart: reduce it");
    }
    abandon(static_cast<int>(unit));
  }
  const std::size_t uses = plan.parameter_slots().uses.size();
  read_bucket = no_bucket_staged;
  cursor = 0;
  limit = kind == pass::train ? uses : uses / 2;
  gather_ahead();
}

void sharded_optimizer::state::gather(int unit) {
  expect_whole();
  spill_landed();
  progress_early(false);
  for (const std::size_t b : layout.buckets_of(unit)) {
    if (buckets[b].early) expect_no_early("gather");
  }
  const verb_timer timer(*this, phase::gather, unit);
  ++kept.gathers;
  const auto& uses = plan.parameter_slots().uses;
  std::size_t use = cursor;
  if (use >= limit || uses[use].unit != unit) {
    ++kept.on_demand;
    while (use < limit && uses[use].unit != unit) ++use;
  }
  if (use < limit) cursor = use + 1;
  const std::size_t planned = use < limit ? uses[use].slot : no_slot;

  if (parameter_slots.needs_slot(unit)) {
    if (must_gather(unit, planned)) {
      const std::size_t slot = parameter_slots.choose(unit, planned);
      if (slot == no_slot) {
        throw invalid_argument("[engine.gather] no slot is left for unit '" +
                               layout.model().units[static_cast<std::size_t>(unit)].name +
                               "' while " + names_of_held(parameter_slots, layout.model()) +
                               " are held: release one, or raise prefetch");
      }
      queue_gather(unit, slot);
    } else {
      ++kept.prefetched;
    }
    parameter_slots.hold(unit);
    trace_slots();
  }
  gather_ahead();
  wait(units[static_cast<std::size_t>(unit)].gathered);
  for (const std::size_t b : layout.buckets_of(unit)) wait(buckets[b].published);
  decode_gathered(unit);
  keep_secondary(unit);
}

// From where the parameters rest, or again from the secondary parameters of this step.
void sharded_optimizer::state::queue_gather(int unit, std::size_t slot) {
  unit_progress& progress = units[static_cast<std::size_t>(unit)];
  // Off schedule a gather nobody asked for may be under way, of this unit or into this slot, and
  // over other ranks than this one: no order of theirs holds it back.
  wait(progress.gathered);
  const int before = parameter_slots.unit_in(slot);
  if (before >= 0) wait(units[static_cast<std::size_t>(before)].gathered);
  parameter_slots.place(unit, slot);
  trace_slots();
  progress.coded = false;
  for (const std::size_t index : layout.buckets_of(unit)) {
    const bucket_storage& b = buckets[index];
    if (!b.plan->gathered) continue;
    const typed_span full{parameter_slots.memory(slot) + b.plan->parameter_slot_offset,
                          b.shape->padded, b.shape->type};
    const bool again = b.plan->secondary && progress.secondary;
    const bool in_codes = b.plan->gather_bits > 0 && !again;
    if (in_codes) wait(b.published);  // for encoding
    const bool below = b.plan->parameter_tier != partition::tier::device && !again;
    completion there = b.published;
    typed_span shard = again ? secondary_parameters(index) : typed_span{};
    if (below) {
      // It comes to its own place among the others', once nobody uses the slot any more.
      shard = full.part(static_cast<std::uint64_t>(held(b.plan->parameters).first) * b.shape->shard,
                        plan.elements(*b.shape, b.plan->parameters));
      parameter_slots.last_used(slot).wait();
      there = fetch_parameters(index, shard);
      if (in_codes) wait(there);
    } else if (!again) {
      shard = parameters_over(index, b.plan->parameters);
    }
    if (alone()) {
      progress.gathered = there;
      continue;
    }
    const auto how = [&] {
      return call_of(name_of(phase::gather), static_cast<int>(index), there);
    };
    const auto from = again ? rank_group::within
                            : plan.groups().gathers(b.plan->parameters, sharded_over::nobody);
    if (!in_codes) {
      progress.gathered = groups.over(from).all_gather(shard, full, how());
      continue;
    }
    progress.coded = true;
    const typed_span codes = gathered_codes(index, slot);
    const std::uint64_t own_bytes = quantized_bytes(shard.count, b.plan->gather_bits);
    const auto number = static_cast<std::uint64_t>(plan.groups().number_in(from, ranks.rank()));
    const typed_span own = codes.part(number * own_bytes, own_bytes);
    work.quantize(shard, b.plan->gather_bits, static_cast<std::byte*>(own.data));
    progress.gathered = groups.over(from).all_gather(own, codes, how());
  }
}

// Every rank's, this one's too, so that all see the same values.
void sharded_optimizer::state::decode_gathered(int unit) {
  unit_progress& progress = units[static_cast<std::size_t>(unit)];
  if (!std::exchange(progress.coded, false)) return;
  const std::size_t slot = parameter_slots.slot_of(unit);
  for (const std::size_t index : layout.buckets_of(unit)) {
    const bucket_storage& b = buckets[index];
    if (b.plan->gather_bits == 0) continue;
    const typed_span full{parameter_slots.memory(slot) + b.plan->parameter_slot_offset,
                          b.shape->padded, b.shape->type};
    work.dequantize(static_cast<const std::byte*>(gathered_codes(index, slot).data), 1,
                    b.plan->gather_bits, full, optim::store_mode::overwrite);
  }
}

// After the first gather of a step; what is gathered later in it stays within the group.
void sharded_optimizer::state::keep_secondary(int unit) {
  unit_progress& progress = units[static_cast<std::size_t>(unit)];
  if (progress.secondary) return;
  for (const std::size_t index : layout.buckets_of(unit)) {
    const bucket_storage& b = buckets[index];
    if (!b.plan->secondary) continue;
    const typed_span second = secondary_parameters(index);
    const auto first = static_cast<std::uint64_t>(held(sharded_over::group).first);
    const typed_span full{
        parameter_slots.memory(parameter_slots.slot_of(unit)) + b.plan->parameter_slot_offset,
        b.shape->padded, b.shape->type};
    work.copy(full.part(first * b.shape->shard, second.count), second);
    progress.secondary = true;
  }
}

void sharded_optimizer::state::wait_gathered() {
  for (const unit_progress& unit : units) wait(unit.gathered);
}

void sharded_optimizer::state::forget_gathered() {
  parameter_slots.clear();
  trace_slots();
  read_bucket = no_bucket_staged;
  for (unit_progress& unit : units) unit.secondary = false;
}

// A unit that is still in another slot than the plan has for it is moved: the plan promises room
// for what follows only if it is kept to.
bool sharded_optimizer::state::must_gather(int unit, std::size_t planned) const noexcept {
  const std::size_t slot = parameter_slots.slot_of(unit);
  if (slot == no_slot) return true;
  return planned != no_slot && slot != planned && !parameter_slots.held(slot) &&
         !parameter_slots.held(planned);
}

// Queues the next `prefetch` uses as far as their slots are free. A slot that holds a unit needed
// sooner is left alone: that happens only off schedule, where waiting is right.
void sharded_optimizer::state::gather_ahead() {
  const auto& uses = plan.parameter_slots().uses;
  const std::size_t end = std::min(limit, cursor + static_cast<std::size_t>(options.prefetch));
  for (std::size_t use = cursor; use < end; ++use) {
    const auto [unit, slot] = uses[use];
    if (slot == no_slot || !must_gather(unit, slot)) continue;
    if (parameter_slots.held(slot)) return;
    for (std::size_t sooner = cursor; sooner < use; ++sooner) {
      if (parameter_slots.unit_in(slot) == uses[sooner].unit) return;
    }
    queue_gather(unit, slot);
  }
}

}  // namespace zero
