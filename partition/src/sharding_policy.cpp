#include <zero/base/error.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <array>

namespace zero::partition {
namespace {

constexpr sharded_over nobody = sharded_over::nobody;
constexpr sharded_over world = sharded_over::world;

// parameters, gradients, optimizer; P_os, P_os+g and P_os+g+p of the ZeRO paper (arXiv:1910.02054,
// section 5) are rows 1 to 3.
constexpr std::array<sharding_policy, 4> rows{{
    {nobody, nobody, nobody},
    {nobody, nobody, world},
    {nobody, world, world},
    {world, world, world},
}};

}  // namespace

sharding_policy policy_of_stage(int stage) {
  if (stage < 0 || stage >= static_cast<int>(rows.size())) {
    throw invalid_argument("stage " + std::to_string(stage) + ": accepted are 0, 1, 2 and 3");
  }
  return rows[static_cast<std::size_t>(stage)];
}

void check(const sharding_policy& policy) {
  if (is_sharded(policy.parameters) && !is_sharded(policy.gradients)) {
    throw invalid_argument("sharding policy: parameters are sharded but gradients are not");
  }
  if (is_sharded(policy.gradients) && !is_sharded(policy.optimizer)) {
    throw invalid_argument("sharding policy: gradients are sharded but optimizer states are not");
  }
}

}  // namespace zero::partition
