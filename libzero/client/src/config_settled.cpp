#include "config_settled.hpp"

#include "config_filling.hpp"

#include <zero/base/error.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace zero::client {
namespace {

void check_sharding(const zero_config& c, int ranks) {
  if (c.shard_group > 0 && ranks % c.shard_group != 0) {
    refuse("shard_group", c.shard_group, "a divisor of the " + std::to_string(ranks) + " ranks");
  }
  if (c.secondary_group == 0) return;
  if (ranks % c.secondary_group != 0) {
    refuse("secondary_group", c.secondary_group,
           "a divisor of the " + std::to_string(ranks) + " ranks");
  }
  if (c.stage != 3) refuse("secondary_group", c.secondary_group, "stage 3 beside it");
  if (c.shard_group != 0) refuse("secondary_group", c.secondary_group, "shard_group 0 beside it");
}

void check_tiers(const zero_config& c) {
  if (c.parameter_tier != ZERO_ON_DEVICE && c.stage != 3) {
    refuse("offload_parameters", value_of(c, *field_of("offload_parameters")),
           "stage 3 beside it, where parameters are sharded");
  }
  if (c.gradient_tier > ZERO_ON_DEVICE && c.stage < 2) {
    refuse("offload_gradients", value_of(c, *field_of("offload_gradients")),
           "stage 2 or 3 beside it, where gradients are sharded");
  }
}

void check_loss_scale(const zero_config& c) {
  if (c.loss_scale == 0 && c.first_loss_scale < c.least_loss_scale) {
    refuse("first_loss_scale", c.first_loss_scale,
           "at least least_loss_scale, which is " + json(c.least_loss_scale).dump());
  }
}

// Of the tier of disks, where nobody said one.
void choose_directory(zero_config& c) {
  const bool on_disk = c.optimizer_tier == ZERO_ON_DISK || c.gradient_tier == ZERO_ON_DISK ||
                       c.parameter_tier == ZERO_ON_DISK;
  if (!on_disk || c.disk_path[0] != '\0') return;
  const char* const chosen = std::getenv("TMPDIR");
  std::error_code absent;
  const char* const usual = std::filesystem::is_directory("/var/tmp", absent) ? "/var/tmp" : "/tmp";
  const bool is_set = chosen != nullptr && *chosen != '\0';
  assign(c, *field_of("nvme_path"), is_set ? chosen : usual, is_set ? "TMPDIR" : "nvme_path");
}

// DeepSpeed's identity: batch = micro_batch * accumulate * ranks.
void relate_batches(zero_config& c, int ranks) {
  if (c.batch == 0 || c.micro_batch == 0) {
    if (c.accumulate == 0) refuse("accumulate", 0, "1 or more, or batch and micro_batch beside it");
    return;
  }
  const std::int64_t at_once = std::int64_t{c.micro_batch} * ranks;
  const std::string product = std::to_string(c.micro_batch) + " samples by " +
                              std::to_string(ranks) + (ranks == 1 ? " rank" : " ranks");
  if (c.accumulate == 0) {
    if (c.batch % at_once != 0) refuse("batch", c.batch, "a multiple of " + product);
    c.accumulate = static_cast<std::int32_t>(c.batch / at_once);
  } else if (at_once * c.accumulate != c.batch) {
    refuse("batch", c.batch,
           std::to_string(at_once * c.accumulate) + ", which is " + product + " by " +
               std::to_string(c.accumulate) + " micro-batches");
  }
}

}  // namespace

zero_config settled(const zero_config* given, int ranks) {
  zero_config config = known_part(given);
  for (const field& f : fields()) check(config, f);
  check_sharding(config, ranks);
  check_tiers(config);
  check_loss_scale(config);
  if (config.own_states > 0 && config.rule != ZERO_OWN_RULE) {
    refuse("own_states", config.own_states, "0, or rule own beside it");
  }
  relate_batches(config, ranks);
  choose_directory(config);
  return config;
}

}  // namespace zero::client
