// update, before the step: where nothing of all ranks has to be known first, cells that rest off
// the device are updated as soon as their gradients are final, while the client computes on.
// Nothing here waits, but at the end.

#include "state.hpp"
#include "verb_timer.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace zero {

using partition::tier;
using partition::updated_from;

void sharded_optimizer::state::announce(float learning_rate) {
  settle();
  if (!std::isfinite(learning_rate)) {
    throw invalid_argument("[engine.announce_step] the learning rate is not finite");
  }
  if (!early.cells.empty() || !early.buckets.empty()) {
    throw invalid_argument("[engine.announce_step] a step has been announced and begun already");
  }
  const bool alone_decides = options.clip_norm == 0.0 && !options.loss_scale.dynamic &&
                             options.non_finite == zero::non_finite::apply &&
                             options.quantized_reduce == 0 && options.own_states < 0;
  const bool on = alone_decides && tiers.any();
  if (on && leave_out) {
    throw invalid_argument(
        "[engine.announce_step] the step was to be left out: others would begin it");
  }
  early.announced = true;
  early.on = on;
  early.learning_rate = learning_rate;
  early.decision = {};
  early.decision.steps = steps;
  const optim::step_vote nothing;
  optim::decide(&nothing, 1, decision_rule(), &early.decision);
}

void sharded_optimizer::state::update_early(int unit) {
  if (!early.on) return;
  for (const std::size_t index : layout.buckets_of(unit)) {
    bucket_storage& b = buckets[index];
    // At the front of a full gradient the reduced piece is only once another takes its staging.
    if (!b.shape->trainable || b.plan->update != updated_from::reduced ||
        b.plan->reduced == partition::reduced_in::full_front) {
      continue;
    }
    const auto cells = plan.cells_of(index);
    if (std::none_of(cells.begin(), cells.end(), [](const auto& c) { return c.down; })) continue;
    if (b.plan->gradient_tier == tier::device) b.landed = alone() ? queue.record() : b.reduced;
    b.early = true;
    early.buckets.push_back(index);
  }
}

bool sharded_optimizer::state::landed_for_update(std::size_t index) const noexcept {
  const bucket_storage& b = buckets[index];
  if (!units[static_cast<std::size_t>(b.shape->unit)].gathered.ready()) return false;
  if (b.plan->gradient_tier == tier::device) return b.landed.ready();
  return std::find(landing.begin(), landing.end(), index) == landing.end() && b.spilled.ready();
}

void sharded_optimizer::state::progress_early(bool to_the_end) {
  if (!early.on) return;
  if (!to_the_end) spill_landed();
  while (!early.buckets.empty()) {
    const std::size_t index = early.buckets.front();
    if (!to_the_end && !landed_for_update(index)) break;
    early.buckets.erase(early.buckets.begin());
    bucket_storage& b = buckets[index];
    wait(units[static_cast<std::size_t>(b.shape->unit)].gathered);
    if (b.plan->gradient_tier == tier::device) {
      b.landed.wait();
      b.update_source = reduced_piece(index);
    }
    for (std::size_t i = 0; i < b.plan->cells; ++i) {
      if (plan.cells()[b.plan->first_cell + i].down) early.cells.push_back(b.plan->first_cell + i);
    }
  }
  while (early.done < early.cells.size()) {
    while (early.begun < early.cells.size() && early.begun < early.done + under_way.size()) {
      const bool needed = to_the_end && early.begun == early.done;
      if (!needed && !block_is_free()) break;
      const std::size_t next = early.cells[early.begun++];
      fetch_cell(next, take_block(next), errand::step);
    }
    if (early.begun == early.done) return;
    const std::size_t cell = early.cells[early.done];
    cell_under_way& area = under_way[block_of[cell]];
    if (!to_the_end && !(area.fetched.ready() && area.lowered.ready())) return;
    {
      const verb_timer timer(*this, phase::fetch, buckets[plan.cells()[cell].bucket].shape->unit);
      area.fetched.wait();
      area.lowered.wait();
    }
    update_cell(cell, early.learning_rate, &early.decision);
    if (!to_the_end) ++kept.early;
    ++early.done;
  }
}

void sharded_optimizer::state::expect_no_early(const char* call) const {
  if (early.cells.empty() && early.buckets.empty()) return;
  throw invalid_argument(std::string("[engine.") + call +
                         "] parts of the next step have been made already: step first");
}

}  // namespace zero
