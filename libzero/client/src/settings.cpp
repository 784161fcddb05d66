#include "settings.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

namespace zero::client {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw invalid_argument("[client.config] " + why);
}

void check_between(const char* name, double value, double least, double most) {
  if (value >= least && value <= most) return;
  refuse(std::string(name) + " is " + std::to_string(value) + ": it must be from " +
         std::to_string(least) + " to " + std::to_string(most));
}

void check(const zero_config& c) {
  check_between("stage", c.stage, 0, 3);
  check_between("shard_group", c.shard_group, 0, 1 << 20);
  check_between("rule", c.rule, ZERO_ADAMW, ZERO_OWN_RULE);
  check_between("own_states", c.own_states, 0, 8);
  check_between("extra_states", c.extra_states, 0, 8);
  check_between("gradients", c.gradients, ZERO_MEAN, ZERO_SUM);
  if (c.gradient_dtype != ZERO_FP32 && c.gradient_dtype != -1) {
    refuse("gradient_dtype is " + std::to_string(c.gradient_dtype) +
           ": it must be ZERO_FP32 or -1 for that of the parameters");
  }
  check_between("accumulate", c.accumulate, 1, 1 << 20);
  check_between("reduce_at", c.reduce_at, ZERO_EVERY_MICRO_BATCH, ZERO_AT_BOUNDARY);
  check_between("clip_norm", c.clip_norm, 0, 1e300);
  check_between("loss_scale", c.loss_scale, 0, 3e38);
  check_between("apply_non_finite", c.apply_non_finite, 0, 1);
  check_between("optimizer_tier", c.optimizer_tier, ZERO_ON_DEVICE, ZERO_ON_DISK);
  check_between("gradient_tier", c.gradient_tier, ZERO_ON_DEVICE, ZERO_ON_DISK);
  check_between("parameter_tier", c.parameter_tier, ZERO_ON_DEVICE, ZERO_ON_DISK);
  check_between("optimizer_ratio", c.optimizer_ratio, 0, 1);
  check_between("prefetch", c.prefetch, 0, 1 << 20);
  check_between("stable_addresses", c.stable_addresses, 0, 1);
  check_between("device", c.device, -1, 1 << 20);
  check_between("deadline_seconds", c.deadline_seconds, 0.001, 1e9);
  if (c.gradient_tier != ZERO_ON_DEVICE && c.stage < 2) {
    refuse("gradient_tier is for stages 2 and 3, and stage is " + std::to_string(c.stage));
  }
  if (c.parameter_tier != ZERO_ON_DEVICE && c.stage < 3) {
    refuse("parameter_tier is for stage 3, and stage is " + std::to_string(c.stage));
  }
  if (c.own_states > 0 && c.rule != ZERO_OWN_RULE) {
    refuse("own_states are for ZERO_OWN_RULE: extra_states are for any rule");
  }
  if (std::memchr(c.disk_path, '\0', sizeof c.disk_path) == nullptr) {
    refuse("disk_path does not end");
  }
}

void check(const zero_group& g) {
  const float all[] = {
      g.learning_rate_factor, g.weight_decay, g.beta1, g.beta2, g.epsilon, g.momentum};
  if (!std::all_of(std::begin(all), std::end(all), [](float v) { return std::isfinite(v); })) {
    refuse("a constant of a group is not finite");
  }
  check_between("beta1", g.beta1, 0, 1);
  check_between("beta2", g.beta2, 0, 1);
  check_between("nesterov", g.nesterov, 0, 1);
}

// A struct of the caller's, which may be of an older version: then it ends earlier.
template <typename Struct>
Struct read_sized(const Struct& from, Struct into, const char* name) {
  if (from.struct_size <= sizeof(std::size_t) || from.struct_size > sizeof(Struct)) {
    refuse(std::string(name) + ".struct_size is " + std::to_string(from.struct_size) +
           ", and no version of " + name + " up to this one was so long: begin with " + name +
           (std::strcmp(name, "zero_config") == 0 ? "_init" : "'s sizeof"));
  }
  std::memcpy(static_cast<void*>(&into), &from, from.struct_size);
  into.struct_size = sizeof(Struct);
  return into;
}

partition::sharded_over over(partition::sharded_over world, int group) {
  const bool grouped = group > 0 && world == partition::sharded_over::world;
  return grouped ? partition::sharded_over::group : world;
}

// Where the client's memory is the only full copy, the engine needs none of its own.
partition::sharding_policy policy_of(const zero_config& c, bool placed) {
  const int stage = placed || c.stage == 0 ? c.stage : 3;
  partition::sharding_policy policy = partition::policy_of_stage(stage);
  policy.parameters = over(policy.parameters, c.shard_group);
  policy.gradients = over(policy.gradients, c.shard_group);
  policy.optimizer = over(policy.optimizer, c.shard_group);
  if (partition::has_groups(policy)) policy.group_size = c.shard_group;
  return policy;
}

partition::tier tier_of(int code) {
  return code == ZERO_ON_DISK   ? partition::tier::disk
         : code == ZERO_ON_HOST ? partition::tier::host
                                : partition::tier::device;
}

optim::algorithm algorithm_of(int rule) {
  constexpr optim::algorithm all[] = {optim::algorithm::adamw,   optim::algorithm::adam,
                                      optim::algorithm::sgd,     optim::algorithm::lion,
                                      optim::algorithm::adagrad, optim::algorithm::sgd};
  return all[rule];
}

}  // namespace

zero_config read_config(const zero_config& from) {
  zero_config defaults;
  zero_config_init(&defaults);
  zero_config config = read_sized(from, defaults, "zero_config");
  config.group = read_group(config.group);
  check(config);
  return config;
}

zero_group read_group(const zero_group& from) {
  zero_config defaults;
  zero_config_init(&defaults);
  const zero_group group = read_sized(from, defaults.group, "zero_group");
  check(group);
  return group;
}

void write_sized(const void* from, std::size_t bytes, void* to, const char* call) {
  if (to == nullptr) throw invalid_argument(std::string("[client.") + call + "] a null pointer");
  std::size_t size = 0;
  std::memcpy(&size, to, sizeof size);
  if (size <= sizeof size || size > bytes) {
    throw invalid_argument(std::string("[client.") + call + "] struct_size is " +
                           std::to_string(size) + ": set it to the struct's sizeof");
  }
  std::memcpy(static_cast<std::byte*>(to) + sizeof size,
              static_cast<const std::byte*>(from) + sizeof size, size - sizeof size);
}

parameter_group group_of(const zero_group& g) {
  parameter_group group;
  group.constants.weight_decay = g.weight_decay;
  group.constants.beta1 = g.beta1;
  group.constants.beta2 = g.beta2;
  group.constants.epsilon = g.epsilon;
  group.constants.momentum = g.momentum;
  group.constants.nesterov = g.nesterov != 0;
  group.learning_rate_factor = g.learning_rate_factor;
  return group;
}

engine_options engine_options_of(const zero_config& c, const std::map<int, zero_group>& groups,
                                 int count, const std::vector<int>& forward_order, int ranks,
                                 bool placed) {
  engine_options o;
  o.policy = policy_of(c, placed);
  o.gradients = c.gradient_dtype == ZERO_FP32 ? gradient_storage::fp32 : gradient_storage::same;
  o.algorithm = algorithm_of(c.rule);
  o.groups.assign(static_cast<std::size_t>(count), group_of(c.group));
  for (const auto& [group, constants] : groups) {
    if (group < count) o.groups[static_cast<std::size_t>(group)] = group_of(constants);
  }
  o.rounding_seed = c.seed;
  o.clip_norm = c.clip_norm;
  o.loss_scale.dynamic = c.loss_scale == 0;
  o.loss_scale.initial = o.loss_scale.dynamic ? 65536.0F : static_cast<float>(c.loss_scale);
  if (c.gradients == ZERO_MEAN) o.loss_scale.initial *= static_cast<float>(ranks);
  o.non_finite = c.apply_non_finite != 0 ? non_finite::apply : non_finite::skip;
  // Mirrored gradients wait for their boundary in the client's memory.
  const bool waits_there = c.reduce_at == ZERO_AT_BOUNDARY && !placed;
  o.accumulate = waits_there ? 1 : c.accumulate;
  o.reduction =
      c.reduce_at == ZERO_AT_BOUNDARY && placed ? reduce_at::boundary : reduce_at::micro_batch;
  o.resident_bytes = c.resident_bytes;
  o.tiers.optimizer = tier_of(c.optimizer_tier);
  o.tiers.gradients = tier_of(c.gradient_tier);
  o.tiers.parameters = tier_of(c.parameter_tier);
  o.tiers.optimizer_ratio = c.optimizer_ratio;
  o.disk_directory = c.disk_path;
  o.memory_budget = c.memory_budget;
  o.prefetch = c.prefetch;
  o.addressing = c.stable_addresses != 0 && placed ? addressing::stable : addressing::slots;
  o.forward_order = forward_order;
  return o;
}

}  // namespace zero::client
