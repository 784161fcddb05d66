#pragma once
// The environment of a rank. Reads this process's own; one thread.

#include <string>
#include <vector>

namespace zero::cli {

struct rank_descriptors {
  int arena = -1;
  int results = -1;  // -1: none
};

// This process's environment with what makes a child rank `rank` of `size` in life `restart` of its
// job.
[[nodiscard]] std::vector<std::string> environment_of_rank(int rank, int size, int restart,
                                                           rank_descriptors handed_down);

// Cores this process may run on.
[[nodiscard]] int usable_cores() noexcept;

// Threads a rank computes with that another launcher started, `here` ranks on this machine; 0 where
// the environment says so itself. As many as a rank of ours has: the same bits depend on it.
[[nodiscard]] int threads_of_started_rank(int here);

}  // namespace zero::cli
