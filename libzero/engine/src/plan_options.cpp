#include "plan_options.hpp"

#include "rank_groups.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/engine/own_rule.hpp>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace zero {

int rule_states(const engine_options& options) noexcept {
  return options.own_states >= 0 ? options.own_states : optim::state_count(options.algorithm);
}

int all_states(const engine_options& options) noexcept {
  return rule_states(options) + options.extra_states;
}

namespace {

void check_states(const engine_options& options) {
  const auto counted = [](const char* what, int value, int least) {
    if (value >= least && value <= most_own_states) return;
    throw invalid_argument(std::string("[engine] ") + what + " is " + std::to_string(value) +
                           ": accepted are " + std::to_string(least) + " to " +
                           std::to_string(most_own_states));
  };
  counted("own_states", options.own_states, -1);
  counted("extra_states", options.extra_states, 0);
  const bool wide = options.formats.states == optim::state_format::fp32 &&
                    options.formats.master == optim::master_format::fp32;
  if (wide || (options.own_states < 0 && options.extra_states == 0)) return;
  throw invalid_argument(
      "[engine] the client's own rule and extra states need states and master weights in fp32, "
      "not " +
      std::string(name_of(options.formats.states)) + " and " + name_of(options.formats.master));
}

}  // namespace

partition::plan_options plan_options_of(const engine_options& options, memory_place place) {
  check_states(options);
  partition::plan_options plan;
  plan.policy = options.policy;
  plan.wide_gradients = options.gradients == gradient_storage::fp32;
  plan.optimizer_arrays.assign(static_cast<std::size_t>(all_states(options)),
                               optim::block_bytes(options.formats.states));
  plan.master_array = optim::block_bytes(options.formats.master);
  plan.scaled_in_place = options.own_states >= 0;
  plan.reductions = options.accumulate;
  plan.keep_gradients = options.reduction == reduce_at::boundary;
  plan.prefetch = options.prefetch;
  plan.forward_order = options.forward_order;
  plan.quantized_gather = options.quantized_gather;
  plan.quantized_reduce = options.quantized_reduce;
  plan.node_ranks = options.node_ranks;
  plan.page_bytes = options.addressing == addressing::stable ? page_size() : 0;
  plan.apart_from_host = place != memory_place::host;
  plan.tiers = options.tiers;
  return plan;
}

partition::layout_options layout_options_of(const engine_options& options, int world_size) {
  partition::layout_options wanted;
  wanted.world_size = world_size;
  wanted.kind = options.layout;
  wanted.resident_bytes = options.resident_bytes;
  return wanted;
}

std::uint32_t digest_of_groups(const engine_options& options) {
  hash128 hash;
  for (const parameter_group& group : options.groups) {
    const optim::hyper& h = group.constants;
    const float values[] = {h.weight_decay,
                            h.beta1,
                            h.beta2,
                            h.epsilon,
                            h.momentum,
                            h.nesterov ? 1.0F : 0.0F,
                            group.learning_rate_factor};
    hash.update(values, sizeof values);
  }
  const digest128 digest = hash.digest();
  std::uint32_t number = 0;
  std::memcpy(&number, digest.data(), sizeof number);
  return number;
}

engine_options checked(engine_options options, const partition::model_spec& model,
                       const collectives::communicator& ranks) {
  if (options.quantized_reduce > 0 && options.node_ranks == 0) {
    std::vector<int> hosts;
    for (int rank = 0; rank < ranks.size(); ++rank) hosts.push_back(ranks.host_of(rank));
    options.node_ranks = ranks_of_a_host(hosts);
  }
  if (!(options.gradient_divisor > 0) || !std::isfinite(options.gradient_divisor)) {
    throw invalid_argument("[engine] gradient_divisor must be finite and more than 0");
  }
  if (options.formats.master == optim::master_format::remainder) {
    for (const partition::unit_spec& unit : model.units) {
      for (const partition::parameter_spec& p : unit.parameters) {
        if (p.type != dtype::fp16 || !p.trainable) continue;
        throw invalid_argument("[engine] parameter '" + p.name +
                               "' is fp16: only bf16 and 16 bits more are an fp32 weight");
      }
    }
  }
  if (!(options.clip_norm >= 0)) {
    throw invalid_argument("[engine] clip_norm must be 0 or more");
  }
  for (const partition::unit_spec& unit : model.units) {
    for (const partition::parameter_spec& p : unit.parameters) {
      if (p.group < 0 || static_cast<std::size_t>(p.group) >= options.groups.size()) {
        throw invalid_argument("[engine] parameter '" + p.name + "' is in group " +
                               std::to_string(p.group) + " of " +
                               std::to_string(options.groups.size()));
      }
    }
  }
  return options;
}

}  // namespace zero
