#include "plan/planner_options.hpp"

#include "list_option.hpp"
#include "train/sharding_choice.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace zero::cli {
namespace {

constexpr int most_ranks = 1 << 20;
constexpr int most_started = 256;  // to measure with

option counted(std::string name, std::string value, std::string meaning,
               std::optional<std::uint64_t>& target) {
  const auto set = [&target](const arguments& given) {
    const char* const accepted = "a count from 1 to 1e16 such as 4096, 7.5e9, 124M or 1.5B";
    std::uint64_t count = 0;
    try {
      count = parse_count(given.front());
    } catch (const invalid_argument&) {
      refuse_value(given.front(), accepted);
    }
    if (count == 0 || count > most_elements) refuse_value(given.front(), accepted);
    target = count;
  };
  const auto show = [&target]() -> arguments {
    return target ? arguments{fmt::to_string(*target)} : arguments{};
  };
  return {std::move(name), std::move(value), std::move(meaning), arity::one, set, show};
}

void add_model(option_set& set, planner_options& o, const option_set& training) {
  set.group("Model");
  for (const char* name : {"model", "layers", "channels", "heads", "vocabulary", "context"}) {
    set.add(training.at(name));
  }
  set.add(counted("parameters", "N",
                  "a model of so many parameters: alone, one that cannot be seen into, of which "
                  "state is planned and nothing that passes through; with --layers and --channels, "
                  "those blocks, and an embedding of the rest",
                  o.parameters));
  set.add(text("model-file", "FILE",
               "shapes of a model: a config.json of GPT-2, Llama, Mistral, Mixtral or Qwen, or a "
               ".safetensors file, of which the header is read",
               o.model_file));
}

void add_ranks(option_set& set, planner_options& o, const option_set& training) {
  constexpr whole_range count{1};
  set.group("Ranks and batch");
  set.add(whole("ranks", "N", "ranks of the run", o.ranks, {1, most_ranks}));
  set.add(whole("ranks-per-node", "N",
                "that share the host memory, the disks and the links of a node (default all)",
                o.ranks_per_node, {1, most_ranks}));
  set.add(list("stages", meaning_of_policies(), o.stages, policy_choices()));
  set.add(list("offload",
               "where state rests: none, or optimizer states, gradients and parameters in host "
               "memory or on disk, as far as a stage shards them",
               o.offloads, offload_choices()));
  set.add(training.at("shard-group"));
  set.add(whole("batch", "SEQUENCES",
                "sequences of a step, all ranks and micro-batches together (default one for each)",
                o.batch, count));
  for (const char* name : {"sequence", "accumulate", "reduce-at"}) set.add(training.at(name));
}

void add_limits(option_set& set, planner_options& o, const option_set& training) {
  set.group("What there is (default no limit)");
  set.add(bytes("device-memory", "of each rank where it computes", o.device_memory));
  set.add(
      bytes("host-memory", "of each node; with --device cpu ranks compute in it", o.host_memory));
  set.add(bytes("nvme-capacity", "of each node's disks", o.nvme_capacity));
  set.add(training.at("memory-budget"));
  set.group("What it can do, a second");
  set.add(
      bytes("interconnect-bandwidth", "bytes a rank sends to others", o.interconnect_bandwidth));
  set.add(bytes("host-bandwidth", "bytes between host memory and a rank's device, each way",
                o.host_bandwidth));
  set.add(bytes("nvme-bandwidth", "bytes of a node's disks, each way", o.nvme_bandwidth));
  set.add(counted("flops", "OPERATIONS", "of a rank's matrix products", o.flops));
  set.add(training.at("nvme-endurance"));
  set.add(
      switch_on("calibrate",
                "measure this machine with --ranks ranks for a few seconds, and plan with that; "
                "passes of the model are measured too, with --device cpu",
                o.calibrate));
  set.add(text("ceilings", "FILE",
               "what a machine was measured to do: read, or with --calibrate written (default then "
               "zero-ceilings.json)",
               o.ceilings));
  set.add(training.at("nvme-path"));
}

}  // namespace

option_set planner_option_set(planner_options& o) {
  option_set set(
      "plan", "[OPTION...]",
      "Says what a training would hold on every rank, move and take, at every stage and\n"
      "offload, without one. Sizes accept 4096, 512MiB, 2GiB, 1.5GB, counts 7.5e9, 124M,\n"
      "1.5B.");
  const option_set training = train_option_set(o.run);
  add_model(set, o, training);
  add_ranks(set, o, training);
  set.group("Formats");
  for (const char* name : {"dtype", "gradient-dtype", "optimizer", "optimizer-states", "master",
                           "quantize-gather", "quantize-reduce"}) {
    set.add(training.at(name));
  }
  set.group("Memory and time");
  for (const char* name :
       {"prefetch", "addressing", "layout", "resident-bytes", "recompute", "device"}) {
    set.add(training.at(name));
  }
  add_limits(set, o, training);
  set.group("Output");
  set.add(
      text("recommend", "FILE",
           "write the recommended configuration, as zero train --config and the library take it",
           o.recommend));
  set.add(switch_on("json", "print JSON (zero.plan/1) in place of tables", o.json));
  return set;
}

int ranks_on_node(const planner_options& o) noexcept {
  return std::min(o.ranks_per_node.value_or(o.ranks), o.ranks);
}

void settle(planner_options& o) {
  common_options& training = o.run.training;
  if (o.ranks % ranks_on_node(o) != 0) {
    throw invalid_argument(
        fmt::format("--ranks-per-node {} is not accepted with {} ranks; expected a divisor",
                    *o.ranks_per_node, o.ranks));
  }
  const auto each =
      static_cast<std::uint64_t>(o.ranks) * static_cast<std::uint64_t>(training.accumulate);
  if (!o.batch && each > whole_range{}.highest) {
    throw invalid_argument(fmt::format(
        "--accumulate {} is not accepted with {} ranks; expected at most {}", training.accumulate,
        o.ranks, whole_range{}.highest / static_cast<std::uint64_t>(o.ranks)));
  }
  training.batch = o.batch.value_or(static_cast<int>(each));
  if (training.batch < o.ranks) {
    throw invalid_argument(
        fmt::format("--batch {} is not accepted with {} ranks; expected a sequence for each",
                    training.batch, o.ranks));
  }
  if (training.shard_group && o.ranks % *training.shard_group != 0) {
    throw invalid_argument(
        fmt::format("--shard-group {} is not accepted with {} ranks; expected a divisor",
                    *training.shard_group, o.ranks));
  }
  if (training.dtype == dtype::fp16 && training.formats.master == optim::master_format::remainder) {
    throw invalid_argument(
        "--master remainder is not accepted with --dtype fp16; only bf16 and 16 bits more are an "
        "fp32 weight");
  }
  const bool grouped = std::any_of(o.stages.begin(), o.stages.end(), [](const std::string& stage) {
    return partition::has_groups(stage);
  });
  if (!training.shard_group && grouped) training.shard_group = ranks_on_node(o);
  o.run.ranks = o.ranks;
  const auto refuse_nothing = [](const char* name, const std::optional<std::uint64_t>& rate) {
    if (rate.value_or(1) > 0) return;
    throw invalid_argument(fmt::format("--{} 0 is not accepted; expected more than 0", name));
  };
  refuse_nothing("interconnect-bandwidth", o.interconnect_bandwidth);
  refuse_nothing("host-bandwidth", o.host_bandwidth);
  refuse_nothing("nvme-bandwidth", o.nvme_bandwidth);
  if (o.calibrate && o.ceilings.empty()) o.ceilings = "zero-ceilings.json";
  if (o.calibrate && o.ranks > most_started) {
    throw invalid_argument(
        fmt::format("--calibrate is not accepted with {} ranks; expected at most {}, to start here",
                    o.ranks, most_started));
  }
}

}  // namespace zero::cli
