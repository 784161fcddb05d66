#pragma once
// poison: the first error of a group, written once into shared memory and read by everyone.
//
// Thread-safe and process-safe.

#include "shared_memory/control.hpp"

#include <zero/base/error.hpp>

#include <string>
#include <vector>

namespace zero::collectives {

// Keeps the error if it is the first; `kind` is peer_lost or desync. Long texts are cut. Returns
// whether it was the first. Whoever may wait must be rung up afterwards.
bool set_poison(poison_record& record, error_class kind, const std::vector<int>& world_ranks,
                const std::string& text) noexcept;

[[nodiscard]] inline bool is_set(const poison_record& record) noexcept {
  return record.state.load() == 2;
}

// Throws what set_poison kept, in the name of `backend`; only if is_set.
[[noreturn]] void throw_poison(const poison_record& record, const char* backend);

}  // namespace zero::collectives
