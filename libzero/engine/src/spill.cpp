// spill: what is to rest off the device goes there: reduced gradients once they have landed, cells
// once they are updated, parameters when they are set.

#include "state.hpp"
#include "verb_timer.hpp"

#include <zero/optim/elementwise.hpp>

#include <algorithm>

namespace zero {

using partition::tier;
using partition::tier_class;

completion sharded_optimizer::state::spill_parameters(std::size_t index, const typed_span& shard) {
  const bucket_storage& b = buckets[index];
  const verb_timer timer(*this, phase::spill, b.shape->unit);
  offload::tier_store& store = *tiers.store(tier_class::parameters);
  queue.record().wait();
  completion last;
  for (const partition::cell& c : plan.cells_of(index)) {
    const typed_span part = shard.part(c.begin, c.count);
    last = tiers.lane().spill({part.data, memory_place::device}, part.bytes(), store,
                              c.parameter_record, b.shape->unit);
  }
  return last;
}

void sharded_optimizer::state::spill_cell(std::size_t index, cell_under_way& area) {
  const partition::cell& c = plan.cells()[index];
  bucket_storage& b = buckets[c.bucket];
  const int unit = b.shape->unit;
  const verb_timer timer(*this, phase::spill, unit);
  offload::tier_lane& lane = tiers.lane();
  if (c.down) {
    offload::tier_store& store = *tiers.store(tier_class::optimizer);
    if (store.in_place(c.optimizer_record) == nullptr) {
      area.spilled = lane.spill({area.optimizer, memory_place::host}, plan.array_bytes(c), store,
                                c.optimizer_record, unit);
    }
  } else {
    area.used = queue.record();
  }
  const tier rests = b.plan->parameter_tier;
  const std::uint64_t bytes = area.parameter.bytes();
  // An fp32 master weight apart is what goes up.
  const bool twin = c.master && area.parameter.type == dtype::fp32;
  void* const from = twin ? area.optimizer : area.parameter.data;
  if (plan.reached(rests, c)) {
    if (twin) tiers.host_work().copy({from, c.count, dtype::fp32}, area.parameter);
    count_crossing(rests, c, bytes, crossing::out);
  } else if (rests == tier::device) {
    const typed_span above = parameters_over(c.bucket, b.plan->optimizer).part(c.begin, c.count);
    area.risen = b.risen = lane.copy(from, above.data, bytes, copy_way::up, unit);
  } else {
    area.used.wait();
    area.spilled = lane.spill({from, c.down ? memory_place::host : memory_place::device}, bytes,
                              *tiers.store(tier_class::parameters), c.parameter_record, unit);
  }
}

// ---- reduced gradients ----

void sharded_optimizer::state::spill_later(std::size_t index) {
  bucket_storage& b = buckets[index];
  b.landed = alone() || plan.options().quantized_reduce > 0 ? queue.record() : b.reduced;
  landing.push_back(index);
}

void sharded_optimizer::state::spill_landed() {
  while (!landing.empty() && buckets[landing.front()].landed.ready()) {
    spill_gradient(landing.front());
  }
}

// The sum of squares of a sum that is made below is known only there: collect_squares has it.
void sharded_optimizer::state::spill_gradient(std::size_t index) {
  const auto found = std::find(landing.begin(), landing.end(), index);
  if (found == landing.end()) return;
  landing.erase(found);
  bucket_storage& b = buckets[index];
  const int unit = b.shape->unit;
  const verb_timer timer(*this, phase::spill, unit);
  b.landed.wait();
  const typed_span piece = reduced_piece(index);
  if (b.first_landing) {
    work.clear({squares_of(index), sizeof(double), dtype::byte});
    work.add_squares(piece, squares_of(index));
  }
  b.added = !b.first_landing;
  offload::tier_store& store = *tiers.store(tier_class::gradients);
  std::size_t cell = b.plan->first_cell;
  for (const partition::cell& c : plan.cells_of(index)) {
    const typed_span part = piece.part(c.begin, c.count);
    const offload::move_end from{part.data, memory_place::device};
    b.spilled = b.first_landing
                    ? tiers.lane().spill(from, part.bytes(), store, c.gradient_record, unit)
                    : tiers.lane().amend(from, part.bytes(), additions[cell], store,
                                         c.gradient_record, unit);
    ++cell;
  }
}

void sharded_optimizer::state::finish_spill(int unit) {
  for (const std::size_t index : layout.buckets_of(unit)) {
    if (buckets[index].plan->gradient_tier == tier::device) continue;
    spill_gradient(index);
    buckets[index].spilled.wait();
  }
}

// Of what was summed below, into the bucket's place among the others.
void sharded_optimizer::state::collect_squares(std::size_t index) {
  bucket_storage& b = buckets[index];
  if (!b.added) return;
  b.added = false;
  b.spilled.wait();
  joined_squares[index] =
      optim::join_sums_of_squares({cell_squares.data() + b.plan->first_cell, b.plan->cells});
  work.write(&joined_squares[index], squares_of(index), sizeof(double));
}

// Run on the lane's thread, which alone touches those records and places meanwhile.
void sharded_optimizer::state::make_additions() {
  if (!repeated() || plan.tier_of(tier_class::gradients) == tier::device) return;
  additions.resize(plan.cells().size());
  for (std::size_t i = 0; i < additions.size(); ++i) {
    additions[i] = [this, i](const void* from, std::byte* record, std::size_t) {
      const partition::cell& c = plan.cells()[i];
      const bucket_storage& b = buckets[c.bucket];
      const dtype landed =
          b.plan->reduced == partition::reduced_in::staged ? dtype::fp32 : b.shape->type;
      const typed_span sum{record, c.count, b.plan->reduced_type};
      optim::accumulate({from, c.count, landed}, sum);
      cell_squares[i] = optim::sum_of_squares(sum);
    };
  }
}

}  // namespace zero
