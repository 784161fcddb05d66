// Built where there is no hwloc.
#include "affinity.hpp"
#include "topology.hpp"

namespace zero::offload {

std::vector<processor> usable_processors() {
  std::vector<processor> all;
  for (const int number : allowed_processors()) all.push_back({number, -1});
  return all;
}

std::string bind_to_node(void* memory, std::size_t bytes, int node) {
  static_cast<void>(memory);
  static_cast<void>(bytes);
  static_cast<void>(node);
  return "built without hwloc";
}

}  // namespace zero::offload
