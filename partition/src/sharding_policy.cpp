#include <zero/base/error.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <algorithm>
#include <array>

namespace zero::partition {
namespace {

constexpr sharded_over nobody = sharded_over::nobody;
constexpr sharded_over group = sharded_over::group;
constexpr sharded_over world = sharded_over::world;

struct row {
  const char* name;
  sharding_policy policy;
};

// parameters, gradients, optimizer, secondary parameters. P_os, P_os+g and P_os+g+p of the ZeRO
// paper (arXiv:1910.02054, section 5) are 1 to 3; hybrid is FSDP's HYBRID_SHARD and, with a freely
// chosen group, MiCS (arXiv:2205.00119); hpz is ZeRO++'s (arXiv:2306.10209, section 4.2).
constexpr std::array<row, 8> rows{{
    {"0", {nobody, nobody, nobody, false, 0}},
    {"1", {nobody, nobody, world, false, 0}},
    {"2", {nobody, world, world, false, 0}},
    {"3", {world, world, world, false, 0}},
    {"hybrid", {group, group, group, false, 0}},
    {"mics", {group, group, group, false, 0}},
    {"hybrid1", {group, world, world, false, 0}},
    {"hpz", {world, world, world, true, 0}},
}};

const row& row_of(const std::string& name) {
  const auto* const found =
      std::find_if(rows.begin(), rows.end(), [&](const row& r) { return name == r.name; });
  if (found != rows.end()) return *found;
  std::string accepted;
  for (const row& r : rows) accepted += std::string(accepted.empty() ? "" : ", ") + r.name;
  throw invalid_argument("sharding policy '" + name + "': accepted are " + accepted);
}

const char* text_of(sharded_over over) {
  return over == world ? "over the world" : over == group ? "over the group" : "not sharded";
}

void refuse(const std::string& why) { throw invalid_argument("sharding policy: " + why); }

}  // namespace

const char* name_of(sharded_over over) noexcept {
  return over == world ? "world" : over == group ? "group" : "nobody";
}

bool has_groups(const sharding_policy& policy) noexcept {
  return policy.parameters == group || policy.gradients == group || policy.optimizer == group ||
         policy.secondary_parameters;
}

std::vector<std::string> policy_names() {
  std::vector<std::string> names;
  for (const row& r : rows) names.emplace_back(r.name);
  return names;
}

sharding_policy policy_of_name(const std::string& name, int group_size) {
  sharding_policy policy = row_of(name).policy;
  if (has_groups(policy)) policy.group_size = group_size;
  return policy;
}

bool has_groups(const std::string& name) { return has_groups(row_of(name).policy); }

sharding_policy policy_of_stage(int stage) {
  if (stage < 0 || stage > 3) {
    throw invalid_argument("stage " + std::to_string(stage) + ": accepted are 0, 1, 2 and 3");
  }
  return policy_of_name(std::to_string(stage));
}

int stage_of(const sharding_policy& policy) noexcept {
  if (is_sharded(policy.parameters)) return 3;
  if (is_sharded(policy.gradients)) return 2;
  return is_sharded(policy.optimizer) ? 1 : 0;
}

void check(const sharding_policy& policy, int world_size) {
  if (policy.parameters > policy.gradients) {
    refuse(std::string("parameters are ") + text_of(policy.parameters) + " but gradients are " +
           text_of(policy.gradients));
  }
  if (policy.gradients > policy.optimizer) {
    refuse(std::string("gradients are ") + text_of(policy.gradients) +
           " but optimizer states are " + text_of(policy.optimizer));
  }
  if (policy.secondary_parameters && policy.parameters != world) {
    refuse(std::string("secondary parameters need parameters over the world, which are ") +
           text_of(policy.parameters));
  }
  if (!has_groups(policy)) return;
  if (policy.group_size < 1 || world_size % policy.group_size != 0) {
    refuse("groups of " + std::to_string(policy.group_size) + " ranks do not divide a world of " +
           std::to_string(world_size));
  }
}

sharding_policy resolved(const sharding_policy& policy, int world_size) {
  check(policy, world_size);
  sharding_policy result = policy;
  const auto plain = [&](sharded_over over) {
    if (over != group) return over;
    if (policy.group_size == world_size) return world;
    return policy.group_size == 1 ? nobody : group;
  };
  result.parameters = plain(policy.parameters);
  result.optimizer = plain(policy.optimizer);
  // A gradient shard longer than the update's would be read by nobody.
  result.gradients = is_sharded(plain(policy.gradients)) ? result.optimizer : nobody;
  if (policy.group_size == world_size) result.secondary_parameters = false;
  if (!has_groups(result)) result.group_size = 0;
  return result;
}

}  // namespace zero::partition
