#pragma once
// sharding_policy: over which ranks each class of model state is sharded. Stages are rows of one
// table, and this file is the only place in the library where their numbers have a meaning.

#include <string>

namespace zero::partition {

enum class sharded_over : unsigned char {
  nobody,  // replicated: every rank holds all of it
  world,   // every rank of the group holds its own shard
};

struct sharding_policy {
  sharded_over parameters = sharded_over::nobody;
  sharded_over gradients = sharded_over::nobody;
  sharded_over optimizer = sharded_over::nobody;
};

// Rows 0 to 3: none; optimizer; and gradients; and parameters. Throws invalid_argument otherwise.
[[nodiscard]] sharding_policy policy_of_stage(int stage);

// Throws invalid_argument unless what is sharded is monotone: parameters only with gradients,
// gradients only with the optimizer.
void check(const sharding_policy& policy);

[[nodiscard]] inline bool is_sharded(sharded_over over) noexcept {
  return over != sharded_over::nobody;
}

}  // namespace zero::partition
