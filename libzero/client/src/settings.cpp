#include "settings.hpp"

#include "config_settled.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/swap_file.hpp>

#include <algorithm>
#include <cstring>
#include <string>

namespace zero::client {
namespace {

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
  if (c.secondary_group > 0) {
    policy.secondary_parameters = true;
    policy.group_size = c.secondary_group;
  } else if (partition::has_groups(policy)) {
    policy.group_size = c.shard_group;
  }
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

zero_group read_group(const zero_group& from, const zero_group& otherwise) {
  if (from.struct_size <= sizeof from.struct_size || from.struct_size > sizeof from) {
    throw invalid_argument("[client.set_group] struct_size is " + std::to_string(from.struct_size) +
                           ": set it to the struct's sizeof");
  }
  zero_config config;
  zero_config_init(&config);
  config.group = otherwise;
  std::memcpy(&config.group, &from, from.struct_size);
  config.group.struct_size = sizeof from;
  return settled(&config, 1).group;
}

namespace {

// What the struct of a caller says of itself; at most `bytes`.
std::size_t size_said(const void* of, std::size_t bytes, const char* call) {
  if (of == nullptr) throw invalid_argument(std::string("[client.") + call + "] a null pointer");
  std::size_t size = 0;
  std::memcpy(&size, of, sizeof size);
  if (size > sizeof size && size <= bytes) return size;
  throw invalid_argument(std::string("[client.") + call + "] struct_size is " +
                         std::to_string(size) + ": set it to the struct's sizeof");
}

}  // namespace

void read_sized(const void* from, void* to, std::size_t bytes, const char* call) {
  const std::size_t size = size_said(from, bytes, call);
  std::memcpy(static_cast<std::byte*>(to) + sizeof size,
              static_cast<const std::byte*>(from) + sizeof size, size - sizeof size);
}

void write_sized(const void* from, std::size_t bytes, void* to, const char* call) {
  const std::size_t size = size_said(to, bytes, call);
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
  if (c.rule == ZERO_OWN_RULE) o.own_states = c.own_states;
  o.extra_states = c.extra_states;
  o.groups.assign(static_cast<std::size_t>(count), group_of(c.group));
  for (const auto& [group, constants] : groups) {
    if (group < count) o.groups[static_cast<std::size_t>(group)] = group_of(constants);
  }
  o.rounding_seed = c.seed;
  o.clip_norm = c.clip_norm;
  o.loss_scale.dynamic = c.loss_scale == 0;
  o.loss_scale.initial =
      static_cast<float>(o.loss_scale.dynamic ? c.first_loss_scale : c.loss_scale);
  o.loss_scale.maximum = std::max(o.loss_scale.maximum, o.loss_scale.initial);
  o.loss_scale.growth_interval = static_cast<std::uint32_t>(c.loss_scale_window);
  o.loss_scale.hysteresis = static_cast<std::uint32_t>(c.loss_scale_hysteresis);
  o.loss_scale.minimum = static_cast<float>(c.least_loss_scale);
  if (c.gradients == ZERO_MEAN) o.gradient_divisor = ranks;
  o.non_finite = c.apply_non_finite != 0 ? non_finite::apply : non_finite::skip;
  // Mirrored gradients wait for their boundary in the client's memory.
  const bool waits_there = c.reduce_at == ZERO_AT_BOUNDARY && !placed;
  o.accumulate = waits_there ? 1 : c.accumulate;
  o.reduction =
      c.reduce_at == ZERO_AT_BOUNDARY && placed ? reduce_at::boundary : reduce_at::micro_batch;
  o.resident_bytes = c.resident_bytes;
  o.tiers.optimizer = tier_of(c.optimizer_tier);
  if (c.gradient_tier >= 0) o.tiers.gradients = tier_of(c.gradient_tier);
  o.tiers.parameters = tier_of(c.parameter_tier);
  o.tiers.optimizer_ratio = c.optimizer_ratio;
  o.disk_directory = *c.disk_path != '\0' ? c.disk_path : offload::default_swap_directory();
  o.memory_budget = c.memory_budget;
  o.prefetch = c.prefetch;
  o.addressing = c.stable_addresses != 0 && placed ? addressing::stable : addressing::slots;
  o.forward_order = forward_order;
  return o;
}

}  // namespace zero::client
