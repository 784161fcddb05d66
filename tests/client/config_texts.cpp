#include "config_texts.hpp"

#define ZERO_IS(condition) [](const zero_config& c) { return condition; }

namespace zero::test {

std::vector<example> every_field() {
  return {
      {"stage", "3", "3", ZERO_IS(c.stage == 3)},
      {"shard_group", "4", "4", ZERO_IS(c.shard_group == 4)},
      {"secondary_group", "2", "2", ZERO_IS(c.secondary_group == 2)},
      {"rule", "own", "\"own\"", ZERO_IS(c.rule == ZERO_OWN_RULE)},
      {"own_states", "3", "3", ZERO_IS(c.own_states == 3)},
      {"extra_states", "8", "8", ZERO_IS(c.extra_states == 8)},
      {"gradients", "sum", "\"sum\"", ZERO_IS(c.gradients == ZERO_SUM)},
      {"gradient_dtype", "same", "\"same\"", ZERO_IS(c.gradient_dtype == -1)},
      {"accumulate", "7", "7", ZERO_IS(c.accumulate == 7)},
      {"reduce_at", "boundary", "\"boundary\"", ZERO_IS(c.reduce_at == ZERO_AT_BOUNDARY)},
      {"clip_norm", "0.5", "0.5", ZERO_IS(c.clip_norm == 0.5)},
      {"loss_scale", "dynamic", "\"dynamic\"", ZERO_IS(c.loss_scale == 0)},
      {"first_loss_scale", "1024", "1024", ZERO_IS(c.first_loss_scale == 1024)},
      {"loss_scale_window", "13", "13", ZERO_IS(c.loss_scale_window == 13)},
      {"loss_scale_hysteresis", "5", "5", ZERO_IS(c.loss_scale_hysteresis == 5)},
      {"least_loss_scale", "0.25", "0.25", ZERO_IS(c.least_loss_scale == 0.25)},
      {"apply_non_finite", "1", "true", ZERO_IS(c.apply_non_finite == 1)},
      {"seed", "18446744073709551615", "18446744073709551615", ZERO_IS(c.seed == UINT64_MAX)},
      {"dtype", "bf16", "\"bf16\"", ZERO_IS(c.dtype == ZERO_BF16)},
      {"micro_batch", "3", "3", ZERO_IS(c.micro_batch == 3)},
      {"batch", "2147483646", "2147483646", ZERO_IS(c.batch == 2147483646)},
      {"learning_rate", "3e-4", "3e-4", ZERO_IS(c.learning_rate == 3e-4)},
      {"learning_rate_factor", "2", "2", ZERO_IS(c.group.learning_rate_factor == 2)},
      {"weight_decay", "0.1", "0.1", ZERO_IS(c.group.weight_decay == 0.1F)},
      {"beta1", "0.5", "0.5", ZERO_IS(c.group.beta1 == 0.5F)},
      {"beta2", "0", "0", ZERO_IS(c.group.beta2 == 0)},
      {"epsilon", "1e-5", "1e-5", ZERO_IS(c.group.epsilon == 1e-5F)},
      {"momentum", "0.75", "0.75", ZERO_IS(c.group.momentum == 0.75F)},
      {"nesterov", "true", "true", ZERO_IS(c.group.nesterov == 1)},
      {"offload_optimizer", "nvme", "\"nvme\"", ZERO_IS(c.optimizer_tier == ZERO_ON_DISK)},
      {"offload_gradients", "cpu", "\"cpu\"", ZERO_IS(c.gradient_tier == ZERO_ON_HOST)},
      {"offload_parameters", "nvme", "\"nvme\"", ZERO_IS(c.parameter_tier == ZERO_ON_DISK)},
      {"offload_ratio", "0.25", "0.25", ZERO_IS(c.optimizer_ratio == 0.25)},
      {"memory_budget", "1.5GiB", "\"1.5GiB\"", ZERO_IS(c.memory_budget == 1610612736)},
      {"nvme_path", "/a b/c", "\"/a b/c\"", ZERO_IS(c.disk_path == std::string("/a b/c"))},
      {"failure_folder", "/f o", "\"/f o\"", ZERO_IS(c.failure_folder == std::string("/f o"))},
      {"prefetch", "0", "0", ZERO_IS(c.prefetch == 0)},
      {"addressing", "slots", "\"slots\"", ZERO_IS(c.stable_addresses == 0)},
      {"resident_bytes", "4096", "4096", ZERO_IS(c.resident_bytes == 4096)},
      {"device", "1", "1", ZERO_IS(c.device == 1)},
      {"deadline", "0.5", "0.5", ZERO_IS(c.deadline_seconds == 0.5)},
  };
}

}  // namespace zero::test
