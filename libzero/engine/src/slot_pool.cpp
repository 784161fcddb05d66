#include "slot_pool.hpp"

#include <zero/base/error.hpp>

namespace zero {

using partition::no_slot;

slot_pool::slot_pool(memory_resource& resource, memory_statistics& statistics,
                     const partition::slot_plan& plan, span<const std::uint64_t> unit_bytes,
                     addressing how, stream& users)
    : mappings_(how == addressing::stable ? resource.mappings() : nullptr),
      users_(users),
      apart_from_host_(resource.place() != memory_place::host) {
  if (how == addressing::stable && mappings_ == nullptr) {
    throw invalid_argument("[engine.slot_pool] stable addressing: this memory cannot be mapped");
  }
  for (const std::uint64_t bytes : plan.slot_bytes) {
    one_slot& made = slots_.emplace_back();
    made.memory = buffer(resource, statistics, memory_account::buffers, bytes);
    made.bytes = bytes;
  }
  units_.resize(unit_bytes.size());
  for (std::size_t unit = 0; unit < units_.size(); ++unit) {
    units_[unit].bytes = unit_bytes[unit];
    if (mappings_ != nullptr && unit_bytes[unit] > 0) {
      units_[unit].range = mappings_->reserve(unit_bytes[unit]);
    }
  }
}

slot_pool::~slot_pool() {
  for (one_slot& s : slots_) {
    try {
      unmap(s);
    } catch (...) {
      // The range goes with the process; what is behind it is freed with the slot.
    }
  }
  for (const place_of_unit& unit : units_) {
    if (unit.range != nullptr) mappings_->unreserve(unit.range, unit.bytes);
  }
}

int slot_pool::holds(int unit) const noexcept {
  const std::size_t slot = at(unit).slot;
  return slot == no_slot ? 0 : slots_[slot].holds;
}

std::size_t slot_pool::choose(int unit, std::size_t preferred) const noexcept {
  const std::uint64_t bytes = at(unit).bytes;
  const auto fits = [&](const one_slot& s) { return s.holds == 0 && s.bytes >= bytes; };
  if (preferred != no_slot && fits(slots_[preferred])) return preferred;
  std::size_t best = no_slot;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!fits(slots_[i])) continue;
    if (best == no_slot) {
      best = i;
      continue;
    }
    const bool empty = slots_[i].unit < 0;
    const bool best_empty = slots_[best].unit < 0;
    if (empty != best_empty ? empty : slots_[i].bytes < slots_[best].bytes) best = i;
  }
  return best;
}

void slot_pool::place(int unit, std::size_t index) noexcept {
  const std::size_t before = slot_of(unit);
  if (before != no_slot) {
    count(slots_[before], false);
    slots_[before].unit = -1;
  }
  one_slot& s = slots_[index];
  count(s, false);
  if (s.unit >= 0) units_[static_cast<std::size_t>(s.unit)].slot = no_slot;
  s.unit = unit;
  units_[static_cast<std::size_t>(unit)].slot = index;
  count(s, true);
}

void slot_pool::clear() noexcept {
  for (one_slot& s : slots_) {
    if (s.holds > 0 || s.unit < 0) continue;
    count(s, false);
    units_[static_cast<std::size_t>(s.unit)].slot = no_slot;
    s.unit = -1;
  }
}

void slot_pool::count(one_slot& s, bool used) noexcept {
  if (s.in_use == used || s.unit < 0) return;
  s.in_use = used;
  in_use_ += used ? at(s.unit).bytes : 0 - at(s.unit).bytes;
}

std::uint64_t slot_pool::reserved() const noexcept {
  std::uint64_t all = 0;
  for (const one_slot& s : slots_) all += s.bytes;
  return all;
}

void slot_pool::hold(int unit) {
  const place_of_unit& place = at(unit);
  one_slot& s = slots_[place.slot];
  if (mappings_ != nullptr && s.mapped != unit) {
    for (one_slot& other : slots_) {
      if (other.mapped == unit) unmap(other);  // it has moved
    }
    unmap(s);
    mappings_->map(place.range, s.memory.data(), place.bytes);
    s.mapped = unit;
  }
  ++s.holds;
  count(s, true);
}

void slot_pool::drop(int unit) {
  const place_of_unit& place = at(unit);
  one_slot& s = slots_[place.slot];
  if (--s.holds > 0) return;
  count(s, false);
  s.last_used = users_.record();
  if (mappings_ != nullptr && !apart_from_host_) unmap(s);
}

void slot_pool::unmap(one_slot& s) {
  if (s.mapped < 0) return;
  s.last_used.wait();
  const place_of_unit& seen = at(s.mapped);
  mappings_->unmap(seen.range, seen.bytes);
  s.mapped = -1;
}

std::byte* slot_pool::memory(std::size_t slot) const noexcept {
  return slots_[slot].memory.as<std::byte>();
}

std::byte* slot_pool::address(int unit) const noexcept {
  const place_of_unit& place = at(unit);
  return mappings_ != nullptr ? static_cast<std::byte*>(place.range)
                              : slots_[place.slot].memory.as<std::byte>();
}

}  // namespace zero
