// From the options of `zero train` to those of the engine.

#include "train/tier_choice.hpp"
#include "train/train_rank.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/optim/rule.hpp>
#include <zero/partition/sharding_policy.hpp>

namespace zero::cli {
namespace {

constexpr float first_dynamic_scale = 65536.0F;

optim::loss_scale_options loss_scale_of(const common_options& o) {
  const loss_scale_choice choice = o.loss_scale.value_or(loss_scale_choice{o.dtype == dtype::fp16});
  optim::loss_scale_options scale;
  scale.dynamic = choice.dynamic;
  scale.initial = choice.dynamic ? first_dynamic_scale : static_cast<float>(choice.factor);
  return scale;
}

// Group 0 are matrices; group 1, biases and norms, does not decay.
std::vector<parameter_group> groups_of(const common_options& o) {
  parameter_group matrices;
  optim::hyper& constants = matrices.constants;
  constants = optim::default_hyper(o.optimizer);
  const bool adam = o.optimizer == optim::algorithm::adam || o.optimizer == optim::algorithm::adamw;
  // The first gradients are ten times the later ones: 0.999 would remember them for 1000 steps.
  if (adam) constants.beta2 = 0.95F;
  const auto take = [](const std::optional<double>& given, float& constant) {
    if (given) constant = static_cast<float>(*given);
  };
  take(o.beta1, constants.beta1);
  take(o.beta2, constants.beta2);
  take(o.epsilon, constants.epsilon);
  take(o.momentum, constants.momentum);
  constants.nesterov = o.nesterov;
  constants.weight_decay = static_cast<float>(o.weight_decay);
  parameter_group vectors = matrices;
  vectors.constants.weight_decay = 0.0F;
  return {matrices, vectors};
}

}  // namespace

engine_options engine_options_of(const train_options& options) {
  const common_options& o = options.training;
  engine_options engine;
  engine.policy = partition::policy_of_name(options.stage, o.shard_group.value_or(0));
  engine.gradients = o.gradient_dtype;
  engine.quantized_gather = o.quantize_gather;
  engine.quantized_reduce = o.quantize_reduce;
  if (o.quantize_reduce > 0) engine.node_ranks = o.shard_group.value_or(0);
  engine.algorithm = o.optimizer;
  engine.formats = o.formats;
  engine.rounding_seed = o.seed;
  engine.groups = groups_of(o);
  engine.clip_norm = o.clip_norm;
  engine.non_finite = o.non_finite;
  engine.loss_scale = loss_scale_of(o);
  engine.accumulate = o.accumulate;
  engine.reduction = o.reduce_at;
  engine.layout = o.layout;
  engine.resident_bytes = o.resident_bytes;
  engine.tiers = tiers_of(options);
  engine.disk_directory = o.nvme_path;
  engine.memory_budget = options.memory_budget.value_or(0);
  engine.prefetch = o.prefetch;
  engine.addressing = o.addressing;
  engine.forward_order = trainer::forward_order(chosen_model(o));
  return engine;
}

}  // namespace zero::cli
