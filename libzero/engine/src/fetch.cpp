// fetch: what rests off the device comes to where it is used: parameters ahead of their gather,
// cells ahead of their update.

#include "state.hpp"
#include "verb_timer.hpp"

#include <cstring>

namespace zero {

using partition::no_record;
using partition::tier;
using partition::tier_class;

completion sharded_optimizer::state::fetch_parameters(std::size_t index, const typed_span& shard) {
  const bucket_storage& b = buckets[index];
  const verb_timer timer(*this, phase::fetch, b.shape->unit);
  offload::tier_store& store = *tiers.store(tier_class::parameters);
  completion last;
  for (const partition::cell& c : plan.cells_of(index)) {
    const typed_span part = shard.part(c.begin, c.count);
    last = tiers.lane().fetch(store, c.parameter_record, {part.data, memory_place::device},
                              part.bytes(), b.shape->unit);
  }
  return last;
}

bool sharded_optimizer::state::tiered(std::size_t index) const noexcept {
  const bucket_storage& b = buckets[index];
  if (b.plan->gradient_tier != tier::device || b.plan->parameter_tier != tier::device) return true;
  return b.plan->cells > 0 && plan.tiers().optimizer != tier::device &&
         plan.tiers().optimizer_ratio > 0.0;
}

// An fp32 parameter without a master apart is its own, and 16 bits are continued by a remainder.
bool sharded_optimizer::state::reads_parameter(const partition::cell& c) const noexcept {
  return !c.master || packed_master(c);
}

void sharded_optimizer::state::locate(std::size_t index, cell_under_way& area) const noexcept {
  const partition::cell& c = plan.cells()[index];
  const bucket_storage& b = buckets[c.bucket];
  std::byte* const block = c.down ? tiers.host_block(area.block) : tiers.device_block(area.block);
  const partition::cell_block& parts = c.down ? plan.host_block() : plan.device_block();

  area.optimizer = b.optimizer.as<std::byte>() + c.at;
  if (c.down) {
    std::byte* const resting = tiers.store(tier_class::optimizer)->in_place(c.optimizer_record);
    area.optimizer = resting != nullptr ? resting : block + parts.optimizer.at;
  }
  const auto place = [&](tier rests, tier_class of, std::size_t record, typed_span on_device,
                         const partition::cell_block::part& part) -> typed_span {
    if (!plan.reached(rests, c)) return {block + part.at, on_device.count, on_device.type};
    if (rests == tier::device) return on_device;
    return {tiers.store(of)->in_place(record), on_device.count, on_device.type};
  };
  // Gradients are only read, but what they are fetched into is not.
  const const_typed_span source = b.update_source;
  const bool here = b.plan->gradient_tier == tier::device && source.data != nullptr;
  const typed_span gradient =
      here ? typed_span{const_cast<void*>(source.data), source.count, source.type}.part(c.begin,
                                                                                        c.count)
           : typed_span{nullptr, c.count, b.plan->reduced_type};
  area.gradient = place(b.plan->gradient_tier, tier_class::gradients, c.gradient_record, gradient,
                        parts.gradient);
  const typed_span parameter =
      b.plan->parameter_tier == tier::device
          ? parameters_over(c.bucket, b.plan->optimizer).part(c.begin, c.count)
          : typed_span{nullptr, c.count, b.shape->type};
  area.parameter = place(b.plan->parameter_tier, tier_class::parameters, c.parameter_record,
                         parameter, parts.parameter);
}

void sharded_optimizer::state::fetch_cell(std::size_t index, cell_under_way& area, errand why) {
  const partition::cell& c = plan.cells()[index];
  const bucket_storage& b = buckets[c.bucket];
  const int unit = b.shape->unit;
  const verb_timer timer(*this, phase::fetch, unit);
  // What was in this block before has gone.
  area.spilled.wait();
  area.risen.wait();
  area.used.wait();
  area.fetched = area.lowered = {};
  locate(index, area);
  if (why == errand::replace) return;
  offload::tier_lane& lane = tiers.lane();
  const memory_place place = c.down ? memory_place::host : memory_place::device;
  if (c.down) {
    offload::tier_store& store = *tiers.store(tier_class::optimizer);
    if (store.in_place(c.optimizer_record) == nullptr) {
      area.fetched =
          lane.fetch(store, c.optimizer_record, {area.optimizer, place}, plan.array_bytes(c), unit);
    }
  }
  if (why == errand::step) fetch_cell_gradient(c, area);
  if (!reads_parameter(c)) return;
  const tier rests = b.plan->parameter_tier;
  const std::uint64_t bytes = area.parameter.bytes();
  if (plan.reached(rests, c)) {
    count_crossing(rests, c, bytes, crossing::in);
  } else if (rests == tier::device) {
    const typed_span above = parameters_over(c.bucket, b.plan->optimizer).part(c.begin, c.count);
    area.lowered = lane.copy(above.data, area.parameter.data, bytes, copy_way::down, unit);
  } else {
    area.fetched = lane.fetch(*tiers.store(tier_class::parameters), c.parameter_record,
                              {area.parameter.data, place}, bytes, unit);
  }
}

void sharded_optimizer::state::fetch_cell_gradient(const partition::cell& c, cell_under_way& area) {
  bucket_storage& b = buckets[c.bucket];
  const int unit = b.shape->unit;
  const tier rests = b.plan->gradient_tier;
  const std::uint64_t bytes = area.gradient.bytes();
  offload::tier_lane& lane = tiers.lane();
  if (rests != tier::device) {
    b.spilled.wait();
    if (units[static_cast<std::size_t>(unit)].reductions == 0) {  // nobody reduced it: zeros
      if (c.down) {
        std::memset(area.gradient.data, 0, bytes);
      } else {
        work.clear(area.gradient);
      }
      return;
    }
  }
  if (plan.reached(rests, c)) {
    count_crossing(rests, c, bytes, crossing::in);
  } else if (rests == tier::device) {
    const const_typed_span above = b.update_source.part(c.begin, c.count);
    area.lowered = lane.copy(above.data, area.gradient.data, bytes, copy_way::down, unit);
  } else {
    area.fetched = lane.fetch(
        *tiers.store(tier_class::gradients), c.gradient_record,
        {area.gradient.data, c.down ? memory_place::host : memory_place::device}, bytes, unit);
  }
}

// What is worked on as it rests on another tier crosses as the update reads or writes it.
void sharded_optimizer::state::count_crossing(tier rests, const partition::cell& c,
                                              std::uint64_t bytes, crossing way) noexcept {
  if (rests == (c.down ? tier::host : tier::device)) return;
  const bool rises = (way == crossing::in) != c.down;
  (rises ? crossed.host_to_device : crossed.device_to_host) += bytes;
}

}  // namespace zero
