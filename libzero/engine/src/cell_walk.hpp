#pragma once
// cell_walk: what this rank updates, cell by cell, where it is worked on. Cells that rest off the
// device are fetched ahead, several under way at a time.
//
// One thread, as its sharded_optimizer.

#include "shard_parts.hpp"
#include "state.hpp"
#include "verb_timer.hpp"

namespace zero {

// Calls each(cell) on what is there now; in a step only if that is applied. What is fetched is left
// as it is until the decision is known; if that is to leave everything as it is, nothing goes back.
// Whoever changes a cell spills it. Buckets are published behind their last cell, unless read.
// Frozen parameters off the device are cells too, and left out.
template <typename Each>
void sharded_optimizer::state::walk_cells(errand why, const Each& each) {
  const span<const partition::cell> cells = plan.cells();
  std::size_t begun = 0;
  bool applied = true;
  const auto decide = [&] {
    decided.wait();
    applied = decision_read()->applied != 0;
  };
  if (why == errand::step && own_rule != nullptr) decide();
  for (std::size_t index = 0; index < cells.size(); ++index) {
    const partition::cell& c = cells[index];
    bucket_storage& b = buckets[c.bucket];
    while (begun < cells.size() && may_begin(begun, index)) {
      if (walked(*this, cells[begun], why)) begin_cell(begun, why);
      ++begun;
    }
    if (!walked(*this, c, why)) continue;
    const bool first = index == b.plan->first_cell;
    if (why == errand::step && first && tiered(c.bucket)) decide();
    if (!(b.early && c.down)) {
      cell_under_way& area = under_way[block_of[index]];
      if (tiered(c.bucket)) {
        const verb_timer timer(*this, phase::fetch, b.shape->unit);
        area.fetched.wait();
        area.lowered.wait();
      } else {
        locate(index, area);
      }
      if (applied) each(index);
    }
    if (index + 1 < b.plan->first_cell + b.plan->cells || reads(why)) continue;
    publish(c.bucket);
    if (why == errand::step) b.exchange_queued = false;
  }
}

}  // namespace zero
