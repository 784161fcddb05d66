#pragma once
// desync: whether all ranks are about to do the same, and if not, who is about to do what.
//
// Pure functions.

#include "shared_memory/control.hpp"

#include <optional>
#include <string>
#include <vector>

namespace zero::collectives {

[[nodiscard]] const char* name_of(operation_kind kind) noexcept;  // "all_gather", ...

// Where the memory lies and the name are the rank's own affair.
[[nodiscard]] bool same(const operation& a, const operation& b) noexcept;

// "all_gather 'x' of 128 bf16 (tag 3)"
[[nodiscard]] std::string describe(const operation& op);

struct disagreement {
  std::vector<int> minority;  // indices; all that differ from the largest party
  std::string text;
};

// Compares what ranks names[i] are about to do; among parties of one size the one with the lowest
// rank counts as the larger. Empty if all agree.
[[nodiscard]] std::optional<disagreement> compare(const std::vector<const operation*>& operations,
                                                  const std::vector<int>& names);

}  // namespace zero::collectives
