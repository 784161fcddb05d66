#pragma once
// Which processors of this machine a process had best run on, and the memory that is near them.
//
// Asked of hwloc where the library was built with it, else of the affinity mask alone, which knows
// nothing of nodes. Thread-safe; reads the system anew at every call, which takes milliseconds.

#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

struct processor_share {
  // As the system numbers them, for sched_setaffinity; never empty.
  std::vector<int> processors;
  // The NUMA node all of them belong to, as the system numbers it; -1 where they belong to
  // several, the machine has only one, or nobody knows.
  int node = -1;
};

// The share of process `index` of `count` on this machine: the processors that this process may
// use, in the order in which they lie next to each other, cut into `count` equal pieces (to within
// one). With more processes than processors several have the same one. Throws invalid_argument
// unless 0 <= index < count.
[[nodiscard]] processor_share share_of_processors(int index, int count);

}  // namespace zero::offload
#pragma GCC visibility pop
