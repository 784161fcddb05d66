#pragma once
// sharding_policy: over which ranks each class of model state is sharded. Stages, hybrids and the
// like are rows of one table, and this room is the only place in the library where a stage's
// number has a meaning.
//
// Pure values. Groups are equal runs of consecutive ranks: group g is ranks [g * L, (g + 1) * L)
// of L = group_size ranks each.

#include <string>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::partition {

// In the order of how many ranks share one copy.
enum class sharded_over : unsigned char {
  nobody,  // replicated: every rank holds all of it
  group,   // every rank of a group holds its own shard; each group has a copy
  world,   // every rank holds its own shard; there is one copy
};

struct sharding_policy {
  sharded_over parameters = sharded_over::nobody;
  sharded_over gradients = sharded_over::nobody;
  sharded_over optimizer = sharded_over::nobody;
  // Beside parameters sharded over the world a second copy sharded over the group, made when a
  // unit is first gathered in a step; it is gathered again from there.
  bool secondary_parameters = false;
  int group_size = 0;  // ranks of a group; read only where something is over groups
};

[[nodiscard]] inline bool is_sharded(sharded_over over) noexcept {
  return over != sharded_over::nobody;
}
[[nodiscard]] const char* name_of(sharded_over over) noexcept;  // "nobody", "group", "world"
// Something is over groups, so group_size is read.
[[nodiscard]] bool has_groups(const sharding_policy& policy) noexcept;

// The names of all rows, in order: "0" to "3" (none; optimizer; and gradients; and parameters),
// "hybrid" and "mics" (everything over the group), "hybrid1" (parameters over the group, the rest
// over the world), "hpz" ("3" with secondary parameters).
[[nodiscard]] std::vector<std::string> policy_names();
// The row of that name with groups of that size. Throws invalid_argument for other names.
[[nodiscard]] sharding_policy policy_of_name(const std::string& name, int group_size = 0);
// Whether a row needs a group size. Throws invalid_argument for other names.
[[nodiscard]] bool has_groups(const std::string& name);
// Rows "0" to "3". Throws invalid_argument otherwise.
[[nodiscard]] sharding_policy policy_of_stage(int stage);

// The stage that shards the same classes, over whatever ranks.
[[nodiscard]] int stage_of(const sharding_policy& policy) noexcept;

// Throws invalid_argument, in one line, unless what is sharded is monotone (parameters over no more
// ranks than gradients, gradients over no more than the optimizer), secondary parameters stand
// beside parameters over the world, and equal groups fill the world. world_size >= 1.
void check(const sharding_policy& policy, int world_size);

// The same policy in the fewest words: a group of one rank shards nothing, a group of all ranks is
// the world, a second copy cut like the first is none, and reduced gradients rest where the update
// reads them. What is left over groups has 1 < group_size < world_size, but for secondary
// parameters, which may have groups of 1. Throws like check.
[[nodiscard]] sharding_policy resolved(const sharding_policy& policy, int world_size);

}  // namespace zero::partition
#pragma GCC visibility pop
