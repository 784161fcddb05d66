#pragma once
// The processors that the affinity mask of the calling thread allows.

#include <sched.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace zero::offload {

// Ascending; never empty.
inline std::vector<int> allowed_processors() {
  std::vector<int> numbers;
  // A machine may have more processors than cpu_set_t has bits: the kernel says EINVAL then.
  for (int most = CPU_SETSIZE; most <= (1 << 16) && numbers.empty(); most *= 4) {
    cpu_set_t* const set = CPU_ALLOC(most);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(most);
    if (sched_getaffinity(0, bytes, set) == 0) {
      for (int i = 0; i < most; ++i) {
        if (CPU_ISSET_S(static_cast<std::size_t>(i), bytes, set)) numbers.push_back(i);
      }
    }
    CPU_FREE(set);
  }
  const int count = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (numbers.empty()) {
    for (int i = 0; i < count; ++i) numbers.push_back(i);
  }
  return numbers;
}

}  // namespace zero::offload
