#include "rank_groups.hpp"

#include <algorithm>

namespace zero {

using partition::rank_group;

int ranks_of_a_host(span<const int> host_of_rank) noexcept {
  const std::size_t world = host_of_rank.size();
  std::size_t count = 1;
  while (count < world && host_of_rank[count] == host_of_rank[0]) ++count;
  for (std::size_t rank = 1; rank < world; ++rank) {
    const bool as_before = host_of_rank[rank] == host_of_rank[rank - 1];
    if (as_before == (rank % count == 0)) return 0;
  }
  return world % count == 0 ? static_cast<int>(count) : 0;
}

void rank_groups::connect(const partition::group_map& map,
                          const partition::communication_plan& plan) {
  const int rank = all_.rank();
  const auto split = [&](rank_group among, int color) {
    split_[static_cast<std::size_t>(among)] = all_.split(color, map.number_in(among, rank));
  };
  const auto spoken_of = [&](rank_group among) {
    return std::any_of(plan.operations.begin(), plan.operations.end(),
                       [&](const partition::planned_operation& o) { return o.among == among; });
  };
  if (map.permuted()) split(rank_group::world, 0);
  if (spoken_of(rank_group::within)) split(rank_group::within, map.group_of(rank));
  if (spoken_of(rank_group::across)) split(rank_group::across, map.place_of(rank));
}

collectives::communicator& rank_groups::over(rank_group among) const noexcept {
  const auto& found = split_[static_cast<std::size_t>(among)];
  return found != nullptr ? *found : all_;
}

bool rank_groups::split_off() const noexcept {
  return std::any_of(split_.begin(), split_.end(),
                     [](const auto& group) { return group != nullptr; });
}

collectives::traffic rank_groups::traffic() const noexcept {
  collectives::traffic sum = all_.traffic();
  for (const auto& group : split_) {
    if (group == nullptr) continue;
    const collectives::traffic& more = group->traffic();
    sum.all_gather += more.all_gather;
    sum.reduce_scatter += more.reduce_scatter;
    sum.all_reduce += more.all_reduce;
    sum.broadcast += more.broadcast;
    sum.all_to_all += more.all_to_all;
    sum.calls += more.calls;
    sum.staged += more.staged;
    sum.crossed += more.crossed;
  }
  return sum;
}

void rank_groups::set_trace(trace_recorder* recorder) noexcept {
  for (const auto& group : split_) {
    if (group != nullptr) group->set_trace(recorder);
  }
}

}  // namespace zero
