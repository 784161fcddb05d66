#pragma once
// host_layout: which ranks of a group share a host, and which of them carries what between hosts.
//
// Immutable; every rank of the group has an equal one. Places number the group's hosts from 0 in
// the order of their first rank of the world.

#include <zero/collectives/crossing.hpp>

#include <cstdint>
#include <vector>

namespace zero::collectives {

class host_layout {
 public:
  // Throws invalid_argument unless order is empty or names every rank once.
  explicit host_layout(const ranks_on_hosts& ranks);

  [[nodiscard]] int size() const noexcept { return static_cast<int>(place_.size()); }
  [[nodiscard]] int hosts() const noexcept { return static_cast<int>(members_.size()); }
  [[nodiscard]] int place_of(int rank) const { return place_[index(rank)]; }
  // Ranks of the group on a host, ascending.
  [[nodiscard]] const std::vector<int>& members(int place) const { return members_[index(place)]; }
  // A rank's number among the members of its host.
  [[nodiscard]] int index_of(int rank) const { return index_[index(rank)]; }
  [[nodiscard]] const std::vector<int>& order() const noexcept { return order_; }
  // Whether the ranks of every host follow each other in the order of the world.
  [[nodiscard]] bool consecutive() const noexcept { return consecutive_; }
  [[nodiscard]] int fewest_members() const noexcept { return fewest_; }
  [[nodiscard]] int most_members() const noexcept { return most_; }
  // Who on host `place` carries the piece of `rank`: itself, elsewhere they take turns.
  [[nodiscard]] int carrier(int place, int rank) const;

 private:
  [[nodiscard]] static std::size_t index(int i) noexcept { return static_cast<std::size_t>(i); }

  std::vector<int> order_;
  std::vector<int> place_;
  std::vector<int> index_;
  std::vector<std::vector<int>> members_;
  bool consecutive_ = true;
  int fewest_ = 0;
  int most_ = 0;
};

// Elements of rank `rank`'s piece: `count`, but for the slices of an all_reduce.
[[nodiscard]] std::uint64_t piece_count(const moved_elements& what, int size, int rank) noexcept;
[[nodiscard]] sum_way way_of_sums(const host_layout& layout, const moved_elements& what);
// Bytes of one element of a sum sent by the last host of a chain.
[[nodiscard]] std::uint64_t delivered_width(const moved_elements& what) noexcept;

}  // namespace zero::collectives
