#include "train/tier_choice.hpp"

#include "train/train_rank.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/offload/swap_file.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

namespace zero::cli {
namespace {

using partition::tier;

tier tier_of(offload_tier where) {
  return where == offload_tier::nvme  ? tier::disk
         : where == offload_tier::cpu ? tier::host
                                      : tier::device;
}

offload_tier offload_of(tier where) {
  return where == tier::disk   ? offload_tier::nvme
         : where == tier::host ? offload_tier::cpu
                               : offload_tier::none;
}

partition::sharding_policy policy_of(const train_options& o, int ranks) {
  const int group = o.training.shard_group.value_or(ranks);
  return partition::resolved(partition::policy_of_name(o.stage, group), ranks);
}

bool is_off(const std::optional<offload_tier>& where) {
  return where.value_or(offload_tier::none) != offload_tier::none;
}

bool any_on_disk(const partition::tiering& tiers) {
  return tiers.optimizer == tier::disk || tiers.parameters == tier::disk ||
         tiers.gradients == tier::disk;
}

std::string place(tier where) { return name_of(offload_of(where)); }

// "0.4 of the optimizer states on nvme, gradients on none, ...".
std::string describe(const partition::tiering& tiers, tier gradients) {
  const bool part = tiers.optimizer != tier::device && tiers.optimizer_ratio < 1;
  const auto at = [](tier where) {
    return where == tier::device ? std::string("not offloaded") : "on " + place(where);
  };
  return fmt::format("{}optimizer states {}, gradients {}, parameters {}",
                     part ? fmt::format("{} of the ", tiers.optimizer_ratio) : "",
                     at(tiers.optimizer), at(gradients), at(tiers.parameters));
}

// What fits, or out_of_memory.
partition::fitted fit_in(const train_options& o, int ranks, std::uint64_t budget) {
  partition::free_tiers may;
  may.optimizer = !o.offload_optimizer.has_value();
  may.ratio = !o.offload_ratio.has_value();
  may.gradients = !o.offload_gradients.has_value();
  may.parameters = !o.offload_parameters.has_value();
  const memory_place computed =
      o.training.device == compute_device::cuda ? memory_place::device : memory_place::host;
  const partition::fitted found =
      sharded_optimizer::fit(trainer::model_of(chosen_model(o.training), o.training.dtype),
                             engine_options_of(o), ranks, may, budget, computed);
  if (found.fits) return found;
  throw out_of_memory(
      fmt::format("--memory-budget {} is too small; the smallest that would do is {} ({})", budget,
                  found.bytes, format_bytes(found.bytes)),
      found.bytes, budget);
}

}  // namespace

partition::tiering tiers_of(const train_options& o) {
  partition::tiering tiers = o.settled.value_or(partition::tiering{});
  tiers.optimizer = tier_of(o.offload_optimizer.value_or(offload_tier::none));
  tiers.optimizer_ratio = o.offload_ratio.value_or(1.0);
  tiers.gradients.reset();
  if (o.offload_gradients) tiers.gradients = tier_of(*o.offload_gradients);
  tiers.parameters = tier_of(o.offload_parameters.value_or(offload_tier::none));
  return tiers;
}

void check_offload(const train_options& o, int ranks) {
  const partition::sharding_policy policy = policy_of(o, ranks);
  const auto refuse = [&](const char* option, offload_tier where, const char* expected) {
    throw invalid_argument(fmt::format("{} {} is not accepted with --stage {}; expected {}", option,
                                       name_of(where), o.stage, expected));
  };
  if (is_off(o.offload_parameters) && !partition::parameters_may_leave(policy)) {
    refuse("--offload-parameters", *o.offload_parameters,
           "a stage that shards parameters like the optimizer states: 3, hybrid, mics or hpz");
  }
  if (is_off(o.offload_gradients) && !partition::gradients_may_leave(policy)) {
    refuse("--offload-gradients", *o.offload_gradients,
           "a stage that shards gradients over all ranks: 2, 3, hybrid1 or hpz");
  }
  const bool chosen_later = o.memory_budget && !o.offload_optimizer;
  if (o.offload_ratio && !is_off(o.offload_optimizer) && !chosen_later) {
    throw invalid_argument(fmt::format(
        "--offload-ratio {} is not accepted; expected --offload-optimizer cpu or nvme beside it",
        *o.offload_ratio));
  }
}

offload_tier lowest_tier(const train_options& o, int ranks) {
  const partition::tiering tiers = tiers_of(o);
  const tier gradients = partition::gradient_tier(tiers, policy_of(o, ranks));
  return offload_of(std::max({tiers.optimizer, gradients, tiers.parameters}));
}

void offload_all(train_options& o, offload_tier where, int ranks) {
  if (where == offload_tier::none) return;
  o.offload_optimizer = where;
  if (partition::parameters_may_leave(policy_of(o, ranks))) o.offload_parameters = where;
}

void settle_gradients(train_options& o, int ranks) {
  o.offload_gradients = offload_of(partition::gradient_tier(tiers_of(o), policy_of(o, ranks)));
}

void take_tiers(train_options& o, const partition::tiering& tiers, int ranks) {
  o.settled = tiers;
  o.offload_optimizer = offload_of(tiers.optimizer);
  o.offload_gradients = offload_of(partition::gradient_tier(tiers, policy_of(o, ranks)));
  o.offload_parameters = offload_of(tiers.parameters);
  o.offload_ratio.reset();
  if (is_off(o.offload_optimizer)) o.offload_ratio = tiers.optimizer_ratio;
}

void check_nvme_path(const std::string& path) {
  try {
    const offload::swap_file empty(path);
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("--nvme-path: {}", e.what()));
  }
}

void check_swap_space(const train_options& o, int ranks) {
  partition::tiering tiers = tiers_of(o);
  tiers.gradients = partition::gradient_tier(tiers, policy_of(o, ranks));
  if (!any_on_disk(tiers)) return;
  const memory_report report = sharded_optimizer::predict(
      trainer::model_of(chosen_model(o.training), o.training.dtype), engine_options_of(o), ranks);
  const std::uint64_t asked = report.predicted[static_cast<std::size_t>(memory_account::disk)] *
                              static_cast<std::uint64_t>(ranks);
  const std::string& path = o.training.nvme_path;
  std::error_code unknown;  // then it shows when the files are made
  const std::uintmax_t available = std::filesystem::space(path, unknown).available;
  if (unknown || asked <= available) return;
  throw out_of_memory(fmt::format("--nvme-path {} has not the room for swap files of {}", path,
                                  format_bytes(asked)),
                      asked, available);
}

std::string settle_tiers(train_options& o, int ranks) {
  std::string line;
  const partition::sharding_policy policy = policy_of(o, ranks);
  if (o.memory_budget) {
    const partition::fitted found = fit_in(o, ranks, *o.memory_budget);
    const tier gradients = partition::gradient_tier(found.tiers, policy);
    take_tiers(o, found.tiers, ranks);
    line = fmt::format("{}; {} of {} a rank", describe(found.tiers, gradients),
                       format_bytes(found.bytes), format_bytes(*o.memory_budget));
  }
  partition::tiering tiers = tiers_of(o);
  tiers.gradients = partition::gradient_tier(tiers, policy);
  if (!any_on_disk(tiers)) return line;
  std::string& path = o.training.nvme_path;
  if (path.empty()) {
    path = offload::default_swap_directory();
    line += (line.empty() ? "" : "; ") + fmt::format("swap files in {}", path);
  }
  check_nvme_path(path);
  return line;
}

void report_tiers(nlohmann::ordered_json& run, const train_options& o, int ranks) {
  const partition::tiering tiers = tiers_of(o);
  const tier gradients = partition::gradient_tier(tiers, policy_of(o, ranks));
  run["offload"] = place(std::max({tiers.optimizer, gradients, tiers.parameters}));
  run["offload_optimizer"] = place(tiers.optimizer);
  run["offload_gradients"] = place(gradients);
  run["offload_parameters"] = place(tiers.parameters);
  run["offload_ratio"] = tiers.optimizer == tier::device ? 0.0 : tiers.optimizer_ratio;
}

}  // namespace zero::cli
