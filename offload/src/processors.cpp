#include "topology.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/processors.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

namespace zero::offload {

processor_share share_of_processors(int index, int count) {
  if (index < 0 || index >= count) {
    throw invalid_argument("[offload.processors] share " + std::to_string(index) + " of " +
                           std::to_string(count));
  }
  const std::vector<processor> all = usable_processors();
  const auto cut = [&](int i) {
    return all.size() * static_cast<std::size_t>(i) / static_cast<std::size_t>(count);
  };
  const std::size_t first = cut(index);
  const std::size_t last = std::max(cut(index + 1), first + 1);
  processor_share share;
  share.node = all[first].node;
  for (std::size_t i = first; i < last; ++i) {
    share.processors.push_back(all[i].number);
    if (all[i].node != share.node) share.node = -1;
  }
  return share;
}

}  // namespace zero::offload
