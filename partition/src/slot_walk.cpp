#include "slot_walk.hpp"

namespace zero::partition {

std::vector<std::uint64_t> gathers_by_unit(std::size_t units, const slot_plan& slots,
                                           int micro_batches) {
  std::vector<std::uint64_t> gathers(units, 0);
  std::vector<std::size_t> slot_of(units, no_slot);
  std::vector<std::size_t> unit_in(slots.slot_bytes.size(), units);
  for (int micro = 0; micro < micro_batches; ++micro) {
    for (const slot_use& use : slots.uses) {
      const auto unit = static_cast<std::size_t>(use.unit);
      if (use.slot == no_slot || (slot_of[unit] == use.slot && !slots.forgets)) continue;
      ++gathers[unit];
      // It leaves its slot for this one, and what was here has none.
      if (slot_of[unit] != no_slot) unit_in[slot_of[unit]] = units;
      if (unit_in[use.slot] != units) slot_of[unit_in[use.slot]] = no_slot;
      unit_in[use.slot] = unit;
      slot_of[unit] = use.slot;
    }
  }
  return gathers;
}

}  // namespace zero::partition
