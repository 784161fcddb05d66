// The machine's topology as hwloc sees it.
#include "affinity.hpp"
#include "topology.hpp"

#include <hwloc.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <type_traits>

namespace zero::offload {
namespace {

struct destroyed {
  void operator()(hwloc_topology_t topology) const noexcept { hwloc_topology_destroy(topology); }
};
using topology = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, destroyed>;

// nullptr where hwloc cannot make sense of the machine.
topology look() {
  hwloc_topology_t made = nullptr;
  if (hwloc_topology_init(&made) != 0) return nullptr;
  topology owned(made);
  return hwloc_topology_load(made) == 0 ? std::move(owned) : nullptr;
}

int node_of(hwloc_topology_t machine, hwloc_obj_t unit) {
  if (hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_NUMANODE) < 2 || unit->nodeset == nullptr)
    return -1;
  const int first = hwloc_bitmap_first(unit->nodeset);
  return hwloc_bitmap_weight(unit->nodeset) == 1 ? first : -1;
}

}  // namespace

std::vector<processor> usable_processors() {
  const std::vector<int> allowed = allowed_processors();
  const topology machine = look();
  std::vector<processor> all;
  hwloc_obj_t unit = nullptr;
  while (machine != nullptr &&
         (unit = hwloc_get_next_obj_by_type(machine.get(), HWLOC_OBJ_PU, unit)) != nullptr) {
    const auto number = static_cast<int>(unit->os_index);
    if (std::binary_search(allowed.begin(), allowed.end(), number)) {
      all.push_back({number, node_of(machine.get(), unit)});
    }
  }
  if (all.empty()) {
    for (const int number : allowed) all.push_back({number, -1});
  }
  return all;
}

std::string bind_to_node(void* memory, std::size_t bytes, int node) {
  const topology machine = look();
  if (machine == nullptr) return "hwloc cannot make sense of this machine";
  const std::unique_ptr<hwloc_bitmap_s, void (*)(hwloc_bitmap_t)> nodes(hwloc_bitmap_alloc(),
                                                                        hwloc_bitmap_free);
  if (nodes == nullptr || hwloc_bitmap_set(nodes.get(), static_cast<unsigned>(node)) != 0) {
    return std::strerror(ENOMEM);
  }
  const int result = hwloc_set_area_membind(machine.get(), memory, bytes, nodes.get(),
                                            HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_BYNODESET);
  return result == 0 ? "" : std::strerror(errno);
}

}  // namespace zero::offload
