#pragma once
// slot_pool: the fixed slots of one kind (gathered parameters, or gradients on their way), which
// unit is in which, and where the client sees it.
//
// A slot is held while somebody uses it, and keeps its unit afterwards until another takes it.
// With stable addressing every unit has a reserved range of addresses into which its slot is
// mapped while held; on a device, which may still be at work there, until the slot is next needed
// for another unit.

#include <zero/base/buffer.hpp>
#include <zero/base/stream.hpp>
#include <zero/engine/options.hpp>
#include <zero/partition/memory_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero {

class slot_pool {
 public:
  // Allocates the slots of `plan`. unit_bytes[u] is what unit u needs, 0 for nothing. Throws
  // invalid_argument when `how` is stable and the resource has no mappings. What the client does
  // with a unit it holds is queued on `users`.
  slot_pool(memory_resource& resource, memory_statistics& statistics,
            const partition::slot_plan& plan, span<const std::uint64_t> unit_bytes, addressing how,
            stream& users);
  slot_pool(const slot_pool&) = delete;
  slot_pool& operator=(const slot_pool&) = delete;
  ~slot_pool();

  [[nodiscard]] bool needs_slot(int unit) const noexcept { return at(unit).bytes > 0; }
  // The slot a unit is in, or no_slot.
  [[nodiscard]] std::size_t slot_of(int unit) const noexcept { return at(unit).slot; }
  // The unit in a slot, or -1.
  [[nodiscard]] int unit_in(std::size_t slot) const noexcept { return slots_[slot].unit; }
  [[nodiscard]] bool held(std::size_t slot) const noexcept { return slots_[slot].holds > 0; }
  [[nodiscard]] int holds(int unit) const noexcept;

  // A slot that is not held and fits: `preferred` if it can be, else an empty one, else the
  // smallest. no_slot when there is none.
  [[nodiscard]] std::size_t choose(int unit, std::size_t preferred) const noexcept;
  // Puts the unit there; what was there before is gone. The slot must not be held.
  void place(int unit, std::size_t slot) noexcept;
  // Forgets what is in every slot that is not held.
  void clear() noexcept;

  void hold(int unit);
  void drop(int unit);

  // Bytes of units that were placed or held, and not dropped since; and of all slots.
  [[nodiscard]] std::uint64_t in_use() const noexcept { return in_use_; }
  [[nodiscard]] std::uint64_t reserved() const noexcept;

  // The slot's own memory, for collectives.
  [[nodiscard]] std::byte* memory(std::size_t slot) const noexcept;
  // Of what users had queued when it was last dropped.
  [[nodiscard]] const completion& last_used(std::size_t slot) const noexcept {
    return slots_[slot].last_used;
  }
  // Where the client sees a held unit.
  [[nodiscard]] std::byte* address(int unit) const noexcept;

 private:
  struct one_slot {
    buffer memory;
    std::uint64_t bytes = 0;
    int unit = -1;
    int holds = 0;
    bool in_use = false;   // counted in in_use_, with its unit's bytes
    int mapped = -1;       // the unit at whose addresses the slot is seen
    completion last_used;  // of what users had queued when it was dropped
  };
  struct place_of_unit {
    std::uint64_t bytes = 0;
    std::size_t slot = partition::no_slot;
    void* range = nullptr;  // stable addressing only
  };
  [[nodiscard]] const place_of_unit& at(int unit) const noexcept {
    return units_[static_cast<std::size_t>(unit)];
  }

  void unmap(one_slot& s);
  void count(one_slot& s, bool used) noexcept;  // of its present unit

  address_space* mappings_ = nullptr;
  stream& users_;
  bool apart_from_host_;
  std::uint64_t in_use_ = 0;
  std::vector<one_slot> slots_;
  std::vector<place_of_unit> units_;
};

}  // namespace zero
