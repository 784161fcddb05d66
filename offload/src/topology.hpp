#pragma once
// What is asked of the machine's topology: with hwloc, or without.

#include <cstddef>
#include <string>
#include <vector>

namespace zero::offload {

struct processor {
  int number;
  int node;  // -1: not known, or the only one
};

// Those this process may use; neighbours in the list are neighbours on the machine.
[[nodiscard]] std::vector<processor> usable_processors();

// Has the pages of a range that have not been touched come from a node. "" or why not.
[[nodiscard]] std::string bind_to_node(void* memory, std::size_t bytes, int node);

}  // namespace zero::offload
