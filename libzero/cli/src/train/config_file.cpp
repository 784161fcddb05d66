#include "train/config_file.hpp"

#include "train/tier_choice.hpp"

#include <zero/base/error.hpp>
#include <zero/client_error.hpp>
#include <zero/config.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <fmt/format.h>

#include <limits>
#include <utility>

namespace zero::cli {
namespace {

constexpr std::pair<int, optim::algorithm> rules[] = {{ZERO_ADAMW, optim::algorithm::adamw},
                                                      {ZERO_ADAM, optim::algorithm::adam},
                                                      {ZERO_SGD, optim::algorithm::sgd},
                                                      {ZERO_LION, optim::algorithm::lion},
                                                      {ZERO_ADAGRAD, optim::algorithm::adagrad}};
constexpr std::pair<int, dtype> dtypes[] = {
    {ZERO_FP32, dtype::fp32}, {ZERO_BF16, dtype::bf16}, {ZERO_FP16, dtype::fp16}};
constexpr std::pair<int, offload_tier> tiers[] = {{ZERO_ON_DEVICE, offload_tier::none},
                                                  {ZERO_ON_HOST, offload_tier::cpu},
                                                  {ZERO_ON_DISK, offload_tier::nvme}};

template <typename Value, std::size_t count>
Value value_of(const std::pair<int, Value> (&table)[count], int code) {
  for (const auto& [known, value] : table) {
    if (known == code) return value;
  }
  return table[0].second;
}

// What a training is without options, where the library's own default is another.
config defaults_of_a_training() {
  const common_options usual;
  config c;
  c.clip_norm = usual.clip_norm;
  c.learning_rate = usual.learning_rate;
  c.group.beta2 = 0.95F;
  c.stable_addresses = 0;
  c.deadline_seconds = usual.deadline;
  c.dtype = -1;
  return c;
}

// What a training has no option for must be as it was.
void check_takeable(const config& said, const config& usual) {
  const auto same = [](const char* name, double value, double expected) {
    if (value == expected) return;
    throw invalid_argument(fmt::format("libzero.{}: {} is not accepted by zero train; expected {}",
                                       name, value, expected));
  };
  if (said.rule == ZERO_OWN_RULE) {
    throw invalid_argument("libzero.rule: own is not accepted by zero train");
  }
  same("own_states", said.own_states, usual.own_states);
  same("extra_states", said.extra_states, usual.extra_states);
  same("gradients", said.gradients, usual.gradients);
  same("loss_scale_window", said.loss_scale_window, usual.loss_scale_window);
  same("loss_scale_hysteresis", said.loss_scale_hysteresis, usual.loss_scale_hysteresis);
  same("least_loss_scale", said.least_loss_scale, usual.least_loss_scale);
  same("first_loss_scale", said.first_loss_scale, usual.first_loss_scale);
  same("learning_rate_factor", said.group.learning_rate_factor, usual.group.learning_rate_factor);
  if (said.shard_group > 0 && said.stage != 3) {
    throw invalid_argument(fmt::format(
        "libzero.shard_group: {} is not accepted by zero train with stage {}; expected stage 3",
        said.shard_group, said.stage));
  }
  if (said.shard_group > 0 && said.secondary_group > 0) {
    throw invalid_argument("libzero.secondary_group is not accepted beside libzero.shard_group");
  }
}

void take_sharding(const config& c, train_options& o) {
  o.stage = fmt::to_string(c.stage);
  const int group = c.secondary_group > 0 ? c.secondary_group : c.shard_group;
  if (group > 0) {
    o.stage = c.secondary_group > 0 ? "hpz" : "hybrid";
    o.training.shard_group = group;
  }
}

void take_rule(const config& c, common_options& o) {
  o.optimizer = value_of(rules, c.rule);
  o.beta1 = c.group.beta1;
  o.beta2 = c.group.beta2;
  o.epsilon = c.group.epsilon;
  if (o.optimizer == optim::algorithm::sgd) o.momentum = c.group.momentum;
  o.nesterov = c.group.nesterov != 0;
  o.weight_decay = c.group.weight_decay;
  o.learning_rate = c.learning_rate;
  o.clip_norm = c.clip_norm;
  if (c.loss_scale != 1) o.loss_scale = loss_scale_choice{c.loss_scale == 0, c.loss_scale};
  o.non_finite = c.apply_non_finite != 0 ? non_finite::apply : non_finite::skip;
  o.seed = c.seed;
}

void take_batch(const config& c, common_options& o, int ranks) {
  o.accumulate = c.accumulate;
  if (c.accumulate == 0 && c.batch > 0 && c.micro_batch > 0) {
    o.accumulate = c.batch / (c.micro_batch * ranks);
    if (o.accumulate * c.micro_batch * ranks != c.batch) {
      throw invalid_argument(
          fmt::format("libzero.batch: {} is not accepted; expected a multiple of {} samples by {} "
                      "ranks",
                      c.batch, c.micro_batch, ranks));
    }
  }
  if (o.accumulate == 0) o.accumulate = 1;
  if (c.batch > 0) {
    o.batch = c.batch;
  } else if (c.micro_batch > 0) {
    const std::int64_t all = std::int64_t{c.micro_batch} * o.accumulate * ranks;
    if (all > std::numeric_limits<std::int32_t>::max()) {
      throw invalid_argument(fmt::format(
          "libzero.micro_batch: {} is not accepted; a step has too many", c.micro_batch));
    }
    o.batch = static_cast<int>(all);
  }
  o.reduce_at = c.reduce_at == ZERO_AT_BOUNDARY ? reduce_at::boundary : reduce_at::micro_batch;
}

void take_memory(const config& c, train_options& o) {
  if (c.optimizer_tier != ZERO_ON_DEVICE) {
    o.offload_optimizer = value_of(tiers, c.optimizer_tier);
    if (c.optimizer_ratio < 1) o.offload_ratio = c.optimizer_ratio;
  }
  if (c.gradient_tier >= 0) o.offload_gradients = value_of(tiers, c.gradient_tier);
  if (c.parameter_tier != ZERO_ON_DEVICE) o.offload_parameters = value_of(tiers, c.parameter_tier);
  if (c.memory_budget > 0) o.memory_budget = c.memory_budget;
  common_options& t = o.training;
  t.nvme_path = c.disk_path;
  t.prefetch = c.prefetch;
  t.addressing = c.stable_addresses != 0 ? addressing::stable : addressing::slots;
  t.resident_bytes = c.resident_bytes;
  t.device = c.device >= 0 ? compute_device::cuda : compute_device::cpu;
  t.deadline = c.deadline_seconds;
  t.failure_folder = c.failure_folder;
  t.gradient_dtype =
      c.gradient_dtype == ZERO_FP32 ? gradient_storage::fp32 : gradient_storage::same;
  if (c.dtype >= 0) t.dtype = value_of(dtypes, c.dtype);
}

}  // namespace

train_options read_config(const std::string& path, int ranks) {
  const config usual = defaults_of_a_training();
  config said = usual;
  try {
    said.file(path);
  } catch (const std::exception& e) {
    throw invalid_argument(fmt::format("--config: {}", e.what()));
  }
  try {
    check_takeable(said, usual);
    train_options o;
    take_sharding(said, o);
    take_rule(said, o.training);
    take_batch(said, o.training, ranks);
    take_memory(said, o);
    return o;
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("--config '{}': {}", path, e.what()));
  }
}

bool has_config(const std::string& policy) noexcept { return policy != "hybrid1"; }

nlohmann::ordered_json config_json(const train_options& o, int ranks) {
  if (!has_config(o.stage)) {
    throw invalid_argument(fmt::format("a configuration cannot say stage {}", o.stage));
  }
  const common_options& t = o.training;
  const partition::sharding_policy policy =
      partition::policy_of_name(o.stage, t.shard_group.value_or(ranks));
  nlohmann::ordered_json own{{"stage", partition::stage_of(policy)}};
  if (partition::has_groups(policy)) {
    own[policy.secondary_parameters ? "secondary_group" : "shard_group"] = policy.group_size;
  }
  own["dtype"] = name_of(t.dtype);
  own["gradient_dtype"] = t.gradient_dtype == gradient_storage::fp32 ? "fp32" : "same";
  own["rule"] = name_of(t.optimizer);
  own["accumulate"] = t.accumulate;
  own["reduce_at"] = t.reduce_at == reduce_at::boundary ? "boundary" : "micro-batch";
  own["batch"] = t.batch;
  const std::int64_t each = std::int64_t{t.accumulate} * ranks;
  if (t.batch % each == 0) own["micro_batch"] = t.batch / each;
  const auto tier = [](const std::optional<offload_tier>& where) {
    return name_of(where.value_or(offload_tier::none));
  };
  own["offload_optimizer"] = tier(o.offload_optimizer);
  if (o.offload_gradients) own["offload_gradients"] = tier(o.offload_gradients);
  own["offload_parameters"] = tier(o.offload_parameters);
  own["offload_ratio"] = o.offload_ratio.value_or(1.0);
  if (o.memory_budget) own["memory_budget"] = *o.memory_budget;
  if (!t.nvme_path.empty()) own["nvme_path"] = t.nvme_path;
  own["prefetch"] = t.prefetch;
  own["addressing"] = t.addressing == addressing::stable ? "stable" : "slots";
  own["resident_bytes"] = t.resident_bytes;
  if (t.device == compute_device::cuda) own["device"] = 0;
  return {{"libzero", std::move(own)}};
}

}  // namespace zero::cli
