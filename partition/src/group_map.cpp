#include <zero/partition/group_map.hpp>

namespace zero::partition {

group_map::group_map(const sharding_policy& policy, int world_size, int node_ranks)
    : world_size_(world_size) {
  const sharding_policy plain = resolved(policy, world_size);
  if (!has_groups(plain)) {
    group_size_ = node_ranks > 0 ? node_ranks : 1;
    return;
  }
  group_size_ = plain.group_size;
  // Secondary parameters are copied from a whole bucket, not from what a rank owns.
  permuted_ = plain.parameters == sharded_over::group || plain.optimizer == sharded_over::group;
}

int group_map::piece_of(int rank) const noexcept {
  return permuted_ ? place_of(rank) * groups() + group_of(rank) : rank;
}

int group_map::owner_of(int piece) const noexcept {
  return permuted_ ? piece % groups() * group_size_ + piece / groups() : piece;
}

int group_map::pieces_of(sharded_over over) const noexcept {
  if (over == sharded_over::world) return 1;
  return over == sharded_over::group ? groups() : world_size_;
}

piece_run group_map::held(sharded_over over, int rank) const noexcept {
  if (over == sharded_over::world) return {piece_of(rank), 1};
  if (over == sharded_over::group) return {place_of(rank) * groups(), groups()};
  return {0, world_size_};
}

rank_group group_map::gathers(sharded_over from, sharded_over to) const noexcept {
  if (from == to) return rank_group::nobody;
  if (from == sharded_over::group) return rank_group::within;
  return to == sharded_over::group ? rank_group::across : rank_group::world;
}

int group_map::size_of(rank_group among) const noexcept {
  switch (among) {
    case rank_group::world:
      return world_size_;
    case rank_group::within:
      return group_size_;
    case rank_group::across:
      return groups();
    case rank_group::nobody:
      break;
  }
  return 1;
}

int group_map::number_in(rank_group among, int rank) const noexcept {
  switch (among) {
    case rank_group::world:
      return piece_of(rank);
    case rank_group::within:
      return place_of(rank);
    case rank_group::across:
      return group_of(rank);
    case rank_group::nobody:
      break;
  }
  return 0;
}

}  // namespace zero::partition
