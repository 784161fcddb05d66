#pragma once
// What the control groups of this process still let it have of host memory.

#include <cstdint>
#include <limits>
#include <string>

namespace zero::offload {

struct memory_limit {
  // The limit less what is used and could not be dropped, in bytes; the largest number there is
  // where nothing limits it or the system does not say.
  std::uint64_t left = std::numeric_limits<std::uint64_t>::max();
  std::string group;  // whose limit that is, as a path among the groups
};

// The tightest of the process's group and those above it, of version 2 or 1. Pages of files count
// as free: the kernel drops them before it refuses anything. `root`: where proc and sys are.
[[nodiscard]] memory_limit limit_of_groups(const std::string& root = "");

}  // namespace zero::offload
