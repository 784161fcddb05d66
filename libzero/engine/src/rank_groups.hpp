#pragma once
// rank_groups: the communicators of the groups a plan speaks of, split from the client's own.
//
// One thread, as a communicator. Operations of different groups are not ordered with each other:
// what needs the result of another group's operation says so by its completion.

#include <zero/base/span.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/partition/communication_plan.hpp>

#include <array>
#include <memory>

namespace zero {

// Of one host, where all hosts are runs of as many consecutive ranks; else 0. Rank r of the world
// is on host_of_rank[r].
[[nodiscard]] int ranks_of_a_host(span<const int> host_of_rank) noexcept;

class rank_groups {
 public:
  // Until connect() there is only the world, numbered by rank. `all` must outlive this.
  explicit rank_groups(collectives::communicator& all) noexcept : all_(all) {}

  // Splits off the groups that `plan` speaks of. Collective; blocks.
  void connect(const partition::group_map& map, const partition::communication_plan& plan);

  // The world is numbered by piece (group_map::piece_of), the others as group_map::number_in says.
  // `among` must be one of the plan, or the world.
  [[nodiscard]] collectives::communicator& over(partition::rank_group among) const noexcept;
  [[nodiscard]] collectives::communicator& world() const noexcept {
    return over(partition::rank_group::world);
  }

  [[nodiscard]] bool split_off() const noexcept;  // there are others than the world by rank
  // Of all of them together.
  [[nodiscard]] collectives::traffic traffic() const noexcept;
  // Of those that were split off. Only with nothing outstanding.
  void set_trace(trace_recorder* recorder) noexcept;

 private:
  collectives::communicator& all_;
  std::array<std::unique_ptr<collectives::communicator>, 4> split_;  // by rank_group
};

}  // namespace zero
