// What a step sends from host to host, by the plan of its operations.

#include "plan_options.hpp"
#include "state.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/crossing.hpp>

#include <algorithm>
#include <string>

namespace zero {
namespace {

using partition::group_map;
using partition::rank_group;

bool joined(const group_map& map, rank_group among, int a, int b) {
  if (among == rank_group::within) return map.group_of(a) == map.group_of(b);
  return among == rank_group::world || map.place_of(a) == map.place_of(b);
}

// Where the ranks are that `rank` talks with, by their numbers there.
collectives::ranks_on_hosts hosts_of(const group_map& map, rank_group among, int rank,
                                     const std::vector<int>& host_of_rank) {
  collectives::ranks_on_hosts result;
  result.host.resize(static_cast<std::size_t>(map.size_of(among)));
  for (int other = 0; other < map.world_size(); ++other) {
    if (!joined(map, among, rank, other)) continue;
    const int number = map.number_in(among, other);
    result.host[static_cast<std::size_t>(number)] = host_of_rank[static_cast<std::size_t>(other)];
    result.order.push_back(number);
  }
  return result;
}

std::uint64_t crossing_of(const partition::planned_operation& o,
                          const collectives::ranks_on_hosts& ranks, int number) {
  collectives::moved_elements what;
  what.count = o.count / static_cast<std::uint64_t>(o.ranks);
  what.in = o.type;
  what.out = o.shard_type;
  if (o.kind() == partition::collective::all_to_all) what.kind = collectives::moving::all_to_all;
  if (o.kind() != partition::collective::reduce_scatter) {
    return o.times * collectives::bytes_crossing_from(ranks, what, number);
  }
  what.kind = collectives::moving::reduce_scatter;  // the first sum is written, others are added
  const std::uint64_t first = collectives::bytes_crossing_from(ranks, what, number);
  what.mode = collectives::write_mode::accumulate;
  return first + (o.times - 1) * collectives::bytes_crossing_from(ranks, what, number);
}

}  // namespace

std::uint64_t sharded_optimizer::predict_crossing(const partition::model_spec& model,
                                                  const engine_options& options,
                                                  const std::vector<int>& host_of_rank, int rank) {
  const int world_size = static_cast<int>(host_of_rank.size());
  if (rank < 0 || rank >= world_size) {
    throw invalid_argument("[engine.predict_crossing] rank " + std::to_string(rank) + " of " +
                           std::to_string(world_size));
  }
  engine_options resolved = options;
  if (resolved.node_ranks == 0) resolved.node_ranks = ranks_of_a_host(host_of_rank);
  const partition::layout layout(model, layout_options_of(resolved, world_size));
  const partition::memory_plan plan(layout, plan_options_of(resolved, memory_place::host));
  const group_map& map = plan.groups();
  std::uint64_t sum = 0;
  for (const auto& o : plan_communication(layout, plan, resolved.accumulate).operations) {
    sum += crossing_of(o, hosts_of(map, o.among, rank, host_of_rank), map.number_in(o.among, rank));
  }
  return sum;
}

}  // namespace zero
