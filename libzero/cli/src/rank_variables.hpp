#pragma once
// The environment of a rank. Reads this process's own; one thread.

#include <string>
#include <vector>

namespace zero::cli {

struct rank_descriptors {
  int arena = -1;
  int results = -1;  // -1: none
};

// This process's environment with what makes a child rank `rank` of `size`.
[[nodiscard]] std::vector<std::string> environment_of_rank(int rank, int size,
                                                           rank_descriptors handed_down);

// Cores this process may run on.
[[nodiscard]] int usable_cores() noexcept;

}  // namespace zero::cli
