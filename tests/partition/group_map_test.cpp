// Ownership checked by moving the numbers of pieces about as the operations would.

#include <zero/base/error.hpp>
#include <zero/partition/group_map.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace zero::partition {
namespace {

constexpr auto nobody = sharded_over::nobody;
constexpr auto group = sharded_over::group;
constexpr auto world = sharded_over::world;

std::vector<sharding_policy> policies(int group_size) {
  std::vector<sharding_policy> all;
  for (const std::string& name : policy_names()) all.push_back(policy_of_name(name, group_size));
  all.push_back({nobody, nobody, group, false, group_size});
  all.push_back({nobody, group, group, false, group_size});
  all.push_back({nobody, group, world, false, group_size});
  all.push_back({group, group, world, false, group_size});
  return all;
}

template <typename Check>
void for_every_map(Check check) {
  for (int n = 1; n <= 12; ++n) {
    for (int size = 1; size <= n; ++size) {
      if (n % size != 0) continue;
      SCOPED_TRACE(std::to_string(n) + " ranks in groups of " + std::to_string(size));
      for (const sharding_policy& policy : policies(size)) check(group_map(policy, n), policy);
    }
  }
}

std::vector<int> pieces(const piece_run& run) {
  std::vector<int> all;
  for (int p = run.first; p < run.first + run.count; ++p) all.push_back(p);
  return all;
}

TEST(group_map, every_piece_has_one_owner_that_holds_it) {
  for_every_map([](const group_map& map, const sharding_policy&) {
    std::set<int> owned;
    for (int rank = 0; rank < map.world_size(); ++rank) {
      const int own = map.piece_of(rank);
      EXPECT_EQ(map.owner_of(own), rank);
      EXPECT_TRUE(owned.insert(own).second);
      EXPECT_GE(own, 0);
      EXPECT_LT(own, map.world_size());
      // Only where something rests over groups does anybody ask what is held over them.
      for (const sharded_over over : {nobody, group, world}) {
        if (over == group && !map.permuted()) continue;
        const std::vector<int> held = pieces(map.held(over, rank));
        EXPECT_EQ(static_cast<int>(held.size()), map.pieces_of(over));
        EXPECT_EQ(std::count(held.begin(), held.end(), own), 1) << rank;
      }
    }
  });
}

// The ranks an operation joins, from the meaning of the words alone, by their number in it.
std::vector<int> members(const group_map& map, rank_group among, int rank) {
  std::vector<int> by_number(static_cast<std::size_t>(map.size_of(among)), -1);
  for (int other = 0; other < map.world_size(); ++other) {
    const bool same_group = other / map.group_size() == rank / map.group_size();
    const bool same_place = other % map.group_size() == rank % map.group_size();
    const bool joins = among == rank_group::world || (among == rank_group::within && same_group) ||
                       (among == rank_group::across && same_place);
    if (joins) by_number.at(static_cast<std::size_t>(map.number_in(among, other))) = other;
  }
  return by_number;
}

TEST(group_map, gathering_makes_shards_of_one_kind_into_those_of_the_other) {
  int gathered = 0;
  for_every_map([&](const group_map& map, const sharding_policy&) {
    for (const sharded_over from : {nobody, group, world}) {
      for (const sharded_over to : {nobody, group, world}) {
        if (to > from || ((from == group || to == group) && !map.permuted())) continue;
        const rank_group among = map.gathers(from, to);
        EXPECT_EQ(among == rank_group::nobody, from == to);
        if (from == to) continue;
        for (int rank = 0; rank < map.world_size(); ++rank) {
          std::vector<int> made;
          for (const int member : members(map, among, rank)) {
            ASSERT_GE(member, 0);
            for (const int p : pieces(map.held(from, member))) made.push_back(p);
          }
          EXPECT_EQ(made, pieces(map.held(to, rank)));
          ++gathered;
        }
      }
    }
  });
  EXPECT_GT(gathered, 1000);
}

TEST(group_map, secondary_parameters_are_whole_buckets_cut_by_place_in_the_group) {
  for (const int size : {1, 2, 3}) {
    const group_map map(policy_of_name("hpz", size), 6);
    EXPECT_FALSE(map.permuted());
    EXPECT_EQ(map.group_size(), size);
    for (int rank = 0; rank < 6; ++rank) {
      EXPECT_EQ(map.piece_of(rank), rank);
      std::vector<int> made;
      for (const int member : members(map, rank_group::within, rank)) {
        for (const int p : pieces(map.held(group, member))) made.push_back(p);
      }
      EXPECT_EQ(made, (std::vector<int>{0, 1, 2, 3, 4, 5}));
    }
  }
}

TEST(group_map, numbers_that_were_worked_out_by_hand) {
  const group_map map(policy_of_name("hybrid", 2), 6);  // groups {0 1} {2 3} {4 5}
  EXPECT_TRUE(map.permuted());
  EXPECT_EQ(map.groups(), 3);
  const std::vector<int> owned{0, 3, 1, 4, 2, 5};
  for (int rank = 0; rank < 6; ++rank) {
    EXPECT_EQ(map.piece_of(rank), owned[static_cast<std::size_t>(rank)]);
    EXPECT_EQ(map.held(group, rank).first, rank % 2 == 0 ? 0 : 3);
    EXPECT_EQ(map.number_in(rank_group::across, rank), rank / 2);
  }
  for (const char* flat : {"0", "1", "2", "3"}) {
    EXPECT_FALSE(group_map(policy_of_name(flat), 6).permuted());
  }
  EXPECT_THROW(group_map(policy_of_name("hybrid", 4), 6), invalid_argument);
}

}  // namespace
}  // namespace zero::partition
