#include "ranks/still_ranks.hpp"

#include <algorithm>

namespace zero::cli {
namespace {

// More than that between two looks is time in which nobody looked.
constexpr std::chrono::seconds longest_step{1};

}  // namespace

bool still_ranks::any_moved(const std::vector<rank_sight>& ranks) {
  bool any = moved_.size() != ranks.size();
  moved_.resize(ranks.size());
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    any = any || moved_[i] != ranks[i].moved;
    moved_[i] = ranks[i].moved;
  }
  return any;
}

std::vector<int> still_ranks::look(clock::time_point now, const std::vector<rank_sight>& ranks) {
  const clock::duration step =
      looked_ ? std::min<clock::duration>(now - *looked_, longest_step) : clock::duration{};
  looked_ = now;
  if (any_moved(ranks)) still_.assign(ranks.size(), {});
  bool is_late = false;
  std::vector<int> stopped;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const rank_sight& rank = ranks[i];
    if (!rank.running || !rank.stopped || rank.deadline.count() == 0) {
      still_[i] = {};
      continue;
    }
    still_[i] += step;
    is_late = is_late || still_[i] >= rank.deadline + grace;
    stopped.push_back(static_cast<int>(i));
  }
  if (!is_late) stopped.clear();
  return stopped;
}

std::chrono::milliseconds still_ranks::longest() const noexcept {
  const auto most = std::max_element(still_.begin(), still_.end());
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      most == still_.end() ? clock::duration{} : *most);
}

}  // namespace zero::cli
