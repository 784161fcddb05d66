#include "host_layout.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

namespace zero::collectives {

host_layout::host_layout(const ranks_on_hosts& ranks)
    : order_(ranks.order), place_(ranks.host.size()), index_(ranks.host.size()) {
  const std::size_t n = ranks.host.size();
  if (order_.empty()) {
    order_.resize(n);
    std::iota(order_.begin(), order_.end(), 0);
  }
  std::vector<int> sorted = order_;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < std::max(n, sorted.size()); ++i) {
    if (sorted.size() != n || sorted[i] != static_cast<int>(i)) {
      throw invalid_argument("[collectives.crossing] order does not name each of " +
                             std::to_string(n) + " ranks once");
    }
  }
  std::map<int, int> places;
  int before = -1;
  for (const int rank : order_) {
    const auto [found, is_new] =
        places.try_emplace(ranks.host[index(rank)], static_cast<int>(places.size()));
    place_[index(rank)] = found->second;
    if (!is_new && found->second != before) consecutive_ = false;
    before = found->second;
  }
  members_.resize(places.size());
  for (std::size_t rank = 0; rank < n; ++rank) {
    std::vector<int>& here = members_[index(place_[rank])];
    index_[rank] = static_cast<int>(here.size());
    here.push_back(static_cast<int>(rank));
  }
  for (const std::vector<int>& here : members_) {
    const int count = static_cast<int>(here.size());
    fewest_ = fewest_ == 0 ? count : std::min(fewest_, count);
    most_ = std::max(most_, count);
  }
}

int host_layout::carrier(int place, int rank) const {
  if (place_of(rank) == place) return rank;
  const std::vector<int>& here = members(place);
  return here[index(index_of(rank)) % here.size()];
}

}  // namespace zero::collectives
