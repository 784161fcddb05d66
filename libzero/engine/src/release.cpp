// release: a unit's slot is free again after its last use.

#include "state.hpp"
#include "verb_timer.hpp"

namespace zero {

void sharded_optimizer::state::release(int unit) {
  if (!parameter_slots.needs_slot(unit)) return;
  const verb_timer timer(*this, phase::release, unit);
  parameter_slots.drop(unit);
  trace_slots();
  if (parameter_slots.holds(unit) == 0) gather_ahead();
  progress_early(false);
}

}  // namespace zero
