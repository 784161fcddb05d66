#include "config_fields.hpp"

#include <cfloat>

namespace zero::client {
namespace {

using form = field::form;
using ends = field::ends;

constexpr double most_int = 2147483647.0;
constexpr double most_ranks = 1048576.0;
constexpr double most_scale = 4294967296.0;

constexpr choice tiers[] = {
    {"none", ZERO_ON_DEVICE}, {"cpu", ZERO_ON_HOST}, {"nvme", ZERO_ON_DISK}};
constexpr choice gradient_tiers[] = {
    {"none", ZERO_ON_DEVICE}, {"cpu", ZERO_ON_HOST}, {"nvme", ZERO_ON_DISK}, {"optimizer", -1}};
constexpr choice rules[] = {{"adamw", ZERO_ADAMW},     {"adam", ZERO_ADAM},
                            {"sgd", ZERO_SGD},         {"lion", ZERO_LION},
                            {"adagrad", ZERO_ADAGRAD}, {"own", ZERO_OWN_RULE}};
constexpr choice joined[] = {{"mean", ZERO_MEAN}, {"sum", ZERO_SUM}};
constexpr choice storages[] = {{"fp32", ZERO_FP32}, {"same", -1}};
constexpr choice moments[] = {{"micro-batch", ZERO_EVERY_MICRO_BATCH},
                              {"boundary", ZERO_AT_BOUNDARY}};
constexpr choice dtypes[] = {
    {"fp32", ZERO_FP32}, {"bf16", ZERO_BF16}, {"fp16", ZERO_FP16}, {"any", -1}};
constexpr choice places[] = {{"slots", 0}, {"stable", 1}};
constexpr choice dynamic[] = {{"dynamic", 0}};
constexpr choice no_device[] = {{"none", -1}};

#define ZERO_AT(member) [](zero_config& c) -> slot { return &c.member; }

constexpr field table[] = {
    {"stage", ZERO_AT(stage), form::whole, 0, 3},
    {"shard_group", ZERO_AT(shard_group), form::whole, 0, most_ranks},
    {"secondary_group", ZERO_AT(secondary_group), form::whole, 0, most_ranks},
    {"rule", ZERO_AT(rule), form::one_of, 0, 0, ends::both, rules},
    {"own_states", ZERO_AT(own_states), form::whole, 0, 8},
    {"extra_states", ZERO_AT(extra_states), form::whole, 0, 8},
    {"gradients", ZERO_AT(gradients), form::one_of, 0, 0, ends::both, joined},
    {"gradient_dtype", ZERO_AT(gradient_dtype), form::one_of, 0, 0, ends::both, storages},
    {"accumulate", ZERO_AT(accumulate), form::whole, 0, most_int},
    {"reduce_at", ZERO_AT(reduce_at), form::one_of, 0, 0, ends::both, moments},
    {"clip_norm", ZERO_AT(clip_norm), form::real, 0, FLT_MAX},
    {"loss_scale", ZERO_AT(loss_scale), form::real, 0, FLT_MAX, ends::both, dynamic},
    {"first_loss_scale", ZERO_AT(first_loss_scale), form::real, 0, most_scale, ends::high},
    {"loss_scale_window", ZERO_AT(loss_scale_window), form::whole, 1, most_int},
    {"loss_scale_hysteresis", ZERO_AT(loss_scale_hysteresis), form::whole, 1, most_int},
    {"least_loss_scale", ZERO_AT(least_loss_scale), form::real, 0, most_scale, ends::high},
    {"apply_non_finite", ZERO_AT(apply_non_finite), form::flag},
    {"seed", ZERO_AT(seed), form::whole, 0, 0x1p64},
    {"dtype", ZERO_AT(dtype), form::one_of, 0, 0, ends::both, dtypes},
    {"micro_batch", ZERO_AT(micro_batch), form::whole, 0, most_int},
    {"batch", ZERO_AT(batch), form::whole, 0, most_int},
    {"learning_rate", ZERO_AT(learning_rate), form::real, 0, FLT_MAX},
    {"learning_rate_factor", ZERO_AT(group.learning_rate_factor), form::real, 0, FLT_MAX},
    {"weight_decay", ZERO_AT(group.weight_decay), form::real, 0, FLT_MAX},
    {"beta1", ZERO_AT(group.beta1), form::real, 0, 1, ends::low},
    {"beta2", ZERO_AT(group.beta2), form::real, 0, 1, ends::low},
    {"epsilon", ZERO_AT(group.epsilon), form::real, 0, FLT_MAX},
    {"momentum", ZERO_AT(group.momentum), form::real, 0, 1, ends::low},
    {"nesterov", ZERO_AT(group.nesterov), form::flag},
    {"offload_optimizer", ZERO_AT(optimizer_tier), form::one_of, 0, 0, ends::both, tiers},
    {"offload_gradients", ZERO_AT(gradient_tier), form::one_of, 0, 0, ends::both, gradient_tiers},
    {"offload_parameters", ZERO_AT(parameter_tier), form::one_of, 0, 0, ends::both, tiers},
    {"offload_ratio", ZERO_AT(optimizer_ratio), form::real, 0, 1},
    {"memory_budget", ZERO_AT(memory_budget), form::bytes},
    {"nvme_path", [](zero_config& c) -> slot { return &c.disk_path[0]; }, form::text},
    {"prefetch", ZERO_AT(prefetch), form::whole, 0, most_int},
    {"addressing", ZERO_AT(stable_addresses), form::one_of, 0, 0, ends::both, places},
    {"resident_bytes", ZERO_AT(resident_bytes), form::bytes},
    {"device", ZERO_AT(device), form::whole, 0, most_int, ends::both, no_device},
    {"deadline", ZERO_AT(deadline_seconds), form::real, 0, 1e9, ends::high},
    {"failure_folder", [](zero_config& c) -> slot { return &c.failure_folder[0]; }, form::text},
};

#undef ZERO_AT

}  // namespace

span<const field> fields() noexcept { return table; }

const field* field_of(std::string_view name) noexcept {
  for (const field& f : table) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

}  // namespace zero::client
