#include "train/train_options.hpp"

#include "train/sharding_choice.hpp"
#include "train/tier_choice.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace zero::cli {
namespace {

constexpr double largest_float = std::numeric_limits<float>::max();

// Pairs of a name and its enumerator, by the library's own names.
template <typename Enum>
names_of<Enum> named(std::initializer_list<Enum> values) {
  names_of<Enum> result;
  for (const Enum value : values) result.emplace_back(name_of(value), value);
  return result;
}

real_range at_least_zero() { return {0.0, largest_float, "a finite number from 0"}; }

option loss_scale_option(std::optional<loss_scale_choice>& target) {
  const auto set = [&target](const arguments& given) {
    if (given.front() == "dynamic") {
      target = loss_scale_choice{true, 1.0};
      return;
    }
    double factor = 0;
    const real_range range{std::numeric_limits<float>::min(), largest_float,
                           "dynamic or a finite number above 0"};
    real("", "", "", factor, range).set(given);
    target = loss_scale_choice{false, factor};
  };
  const auto show = [&target]() -> arguments {
    if (!target) return {};
    return {target->dynamic ? "dynamic" : fmt::format("{}", target->factor)};
  };
  return {"loss-scale",
          "dynamic|FACTOR",
          "what the loss is multiplied with (default dynamic for fp16, else 1)",
          arity::one,
          set,
          show};
}

void add_model(option_set& set, common_options& o) {
  constexpr whole_range size{1, 1U << 20};
  std::string presets;
  for (const auto& preset : trainer::gpt_presets()) {
    presets += (presets.empty() ? "" : ", ") + preset.name;
  }
  set.group("Model");
  set.add(text("model", "NAME", "one of " + presets + " (default gpt-3m)", o.model));
  set.add(whole("layers", "N", "transformer blocks; the five numbers stand in place of --model",
                o.layers, size));
  set.add(whole("channels", "N", "width of the model", o.channels, size));
  set.add(whole("heads", "N", "attention heads; divides --channels", o.heads, size));
  set.add(whole("vocabulary", "N", "distinct tokens", o.vocabulary, size));
  set.add(whole("context", "TOKENS", "longest sequence the model takes", o.context, size));
}

void add_batch(option_set& set, common_options& o) {
  constexpr whole_range count{1};
  set.group("Text and batch");
  set.add(texts("text", "PATH",
                "files or folders to train on (default the regular files of "
                "/usr/share/common-licenses)",
                o.text));
  set.add(whole("steps", "N", "updates of the parameters", o.steps, count));
  set.add(whole("batch", "SEQUENCES", "sequences of a step, all ranks and micro-batches together",
                o.batch, count));
  set.add(whole("sequence", "TOKENS", "length of a sequence (default the model's context)",
                o.sequence, count));
  set.add(whole("accumulate", "N", "micro-batches each rank cuts its sequences of a step into",
                o.accumulate, {1, 1U << 20}));
  set.add(choice("reduce-at", "when gradients are summed over ranks", o.reduce_at,
                 names_of<zero::reduce_at>{{"micro-batch", zero::reduce_at::micro_batch},
                                           {"boundary", zero::reduce_at::boundary}}));
  set.add(whole("seed", "N", "of the initial parameters and the order of the text", o.seed,
                {0, std::numeric_limits<std::uint64_t>::max()}));
}

void add_arithmetic(option_set& set, common_options& o) {
  using optim::algorithm;
  using optim::decay_shape;
  set.group("Arithmetic");
  set.add(choice("dtype", "of parameters and gradients", o.dtype,
                 named({dtype::fp32, dtype::bf16, dtype::fp16})));
  set.add(choice("gradient-dtype", "what a reduced gradient is kept in; same is --dtype",
                 o.gradient_dtype,
                 names_of<gradient_storage>{{"fp32", gradient_storage::fp32},
                                            {"same", gradient_storage::same}}));
  set.add(choice("quantize-gather", "bits of the codes sharded parameters are gathered in",
                 o.quantize_gather, names_of<int>{{"off", 0}, {"8", 8}}));
  set.add(choice("quantize-reduce",
                 "bits of the codes gradients are summed over ranks in, within groups of "
                 "--shard-group first",
                 o.quantize_reduce, names_of<int>{{"off", 0}, {"4", 4}, {"8", 8}}));
  set.add(choice("optimizer", "update rule", o.optimizer,
                 named({algorithm::adamw, algorithm::adam, algorithm::sgd, algorithm::lion,
                        algorithm::adagrad})));
  using optim::master_format;
  using optim::state_format;
  set.add(choice("optimizer-states", "what moments rest in; other than fp32 rounds stochastically",
                 o.formats.states,
                 named({state_format::fp32, state_format::bf16, state_format::block8})));
  set.add(
      choice("master",
             "what keeps 16-bit parameters exact: fp32 weights apart, 16 bits more beside bf16, "
             "or nothing but stochastic rounding",
             o.formats.master,
             named({master_format::fp32, master_format::remainder, master_format::none})));
  set.add(real("learning-rate", "RATE", "highest learning rate", o.learning_rate, at_least_zero()));
  set.add(choice("schedule", "how the learning rate falls after the warm-up", o.schedule,
                 named({decay_shape::constant, decay_shape::linear, decay_shape::cosine})));
  set.add(
      whole("warmup-steps", "N",
            "steps in which the learning rate rises (default a fifth of the steps, at most 100)",
            o.warmup_steps, {0}));
  set.add(real("final-learning-rate-fraction", "FRACTION",
               "learning rate of the last step, as a fraction of --learning-rate",
               o.final_learning_rate_fraction, {0.0, 1.0, "a number from 0 to 1"}));
  set.add(real("weight-decay", "RATE", "of matrices; biases and norms do not decay", o.weight_decay,
               at_least_zero()));
  // As floats, so that nothing rounds to 1, which would divide by 0.
  const real_range below_one{0.0, 0.999999, "a number from 0 to 0.999999"};
  set.add(real("beta1", "RATE", "decay of the first moment (default 0.9)", o.beta1, below_one));
  set.add(real("beta2", "RATE",
               "decay of the second moment (default 0.95; 0.99 of lion's only moment)", o.beta2,
               below_one));
  set.add(real("epsilon", "NUMBER", "added to the root (default 1e-8; 1e-10 for adagrad)",
               o.epsilon, at_least_zero()));
  set.add(real("momentum", "RATE", "of sgd (default 0.9)", o.momentum, below_one));
  set.add(switch_on("nesterov", "look ahead along the momentum of sgd", o.nesterov));
  set.add(real("clip-norm", "NORM", "global norm gradients are scaled down to; 0 is never",
               o.clip_norm, at_least_zero()));
  set.add(
      choice("non-finite",
             "a step whose gradients are not finite is left out, or applied as it is, which with "
             "--clip-norm 0 lets offloaded states be updated during the backward",
             o.non_finite,
             names_of<zero::non_finite>{{"skip", zero::non_finite::skip},
                                        {"apply", zero::non_finite::apply}}));
  set.add(loss_scale_option(o.loss_scale));
}

void add_memory(option_set& set, common_options& o) {
  set.group("Memory and time");
  set.add(whole("prefetch", "UNITS", "units gathered ahead of the one in use", o.prefetch,
                {0, 1U << 20}));
  set.add(choice("addressing", "where gathered parameters appear", o.addressing,
                 names_of<zero::addressing>{{"slots", zero::addressing::slots},
                                            {"stable", zero::addressing::stable}}));
  set.add(choice("layout", "shards cut through parameters, or hold whole ones", o.layout,
                 names_of<partition::layout_kind>{{"flat", partition::layout_kind::flat},
                                                  {"whole", partition::layout_kind::whole}}));
  set.add(
      bytes("resident-bytes", "parameters up to this size are never sharded", o.resident_bytes));
  set.add(
      whole("shard-group", "RANKS",
            "ranks of a group, for stages that have groups and --quantize-reduce (default those of "
            "a host)",
            o.shard_group, {1, 1U << 20}));
  set.add(switch_on("recompute", "compute activations again in the backward, to keep fewer",
                    o.recompute));
  set.add(switch_on("offload-activations",
                    "keep blocks' inputs in host memory between forward and backward, and compute "
                    "the rest again; with --device cuda",
                    o.offload_activations));
  set.add(text("nvme-path", "FOLDER",
               "where swap files without names lie (default $TMPDIR, else /var/tmp, else /tmp)",
               o.nvme_path));
  set.add(bytes("nvme-endurance",
                "bytes that a drive takes until it is worn out, as its maker warrants (TBW): what "
                "reports say of its life is by this",
                o.nvme_endurance));
  set.add(choice("measure-links",
                 "before a run with anything offloaded, measure for 0.2 s how fast bytes move "
                 "between tiers, to report the use of it",
                 o.measure_links, names_of<bool>{{"on", true}, {"off", false}}));
  set.add(real("deadline", "SECONDS", "longest a rank waits for another that does not move",
               o.deadline, {0.001, 1e6, "a number of seconds from 0.001 to 1e6"}));
  set.add(text("failure-folder", "FOLDER",
               "where each rank leaves its last operations, failure-rank-N.json, when something "
               "fails (see zero operations)",
               o.failure_folder));
  set.add(choice(
      "device", "where is computed", o.device,
      names_of<compute_device>{{"cpu", compute_device::cpu}, {"cuda", compute_device::cuda}}));
}

// "--layers" and so on that are given, or not given.
std::vector<std::string> dimensions(const common_options& o, bool given) {
  std::vector<std::string> result;
  const auto note = [&](const char* name, const std::optional<int>& value) {
    if (value.has_value() == given) result.emplace_back(name);
  };
  note("--layers", o.layers);
  note("--channels", o.channels);
  note("--heads", o.heads);
  note("--vocabulary", o.vocabulary);
  note("--context", o.context);
  return result;
}

}  // namespace

const char* name_of(offload_tier tier) noexcept {
  switch (tier) {
    case offload_tier::none:
      return "none";
    case offload_tier::cpu:
      return "cpu";
    case offload_tier::nvme:
      return "nvme";
  }
  return "";
}

names_of<offload_tier> offload_choices() {
  return named({offload_tier::none, offload_tier::cpu, offload_tier::nvme});
}

void add_options(option_set& set, common_options& o) {
  add_model(set, o);
  add_batch(set, o);
  add_arithmetic(set, o);
  add_memory(set, o);
}

void add_options(option_set& set, train_options& o) {
  set.group("Ranks and state");
  set.add(whole("ranks", "N",
                "processes to start on this machine (default 1, or what mpirun, torchrun, srun or "
                "zero launch started)",
                o.ranks, {1, 4096}));
  set.add(choice("stage", meaning_of_policies(), o.stage, policy_choices()));
  const auto tiers = offload_choices();
  set.add(choice("offload-optimizer", "where optimizer states rest (default none)",
                 o.offload_optimizer, tiers));
  set.add(
      choice("offload-gradients",
             "where reduced gradients rest, from stage 2 on (default with the optimizer states)",
             o.offload_gradients, tiers));
  set.add(choice("offload-parameters", "where parameters rest at stage 3 (default none)",
                 o.offload_parameters, tiers));
  set.add(real("offload-ratio", "SHARE",
               "of the bytes of optimizer states that are offloaded (default 1)", o.offload_ratio,
               {0.0, 1.0, "a number from 0 to 1"}));
  set.add(bytes("memory-budget",
                "most a rank may hold of model state and buffers, in host memory and on a device "
                "together; what is not said to rest elsewhere goes to nvme as far as it takes "
                "(default no limit)",
                o.memory_budget));
  add_options(set, o.training);
  set.group("Files");
  set.add(text("config", "FILE",
               "options as a configuration of the library says them, such as zero plan recommends; "
               "what is given beside it counts",
               o.config));
  set.add(text("tokens", "FILE", "llm.c token file to train on in place of --text", o.tokens));
  set.add(text("init-from", "FILE", "start from a .safetensors or an llm.c .bin checkpoint",
               o.init_from));
  set.add(text("export", "FILE", "write the parameters as .safetensors at the end", o.export_file));
  set.add(whole("sample", "TOKENS", "generate so many tokens at the end and print them", o.sample,
                {0, 1U << 20}));
  set.add(text("json", "FILE", "write JSON lines: one a step, then the whole run", o.json_file));
  set.add(text("trace", "FILE", "write Chrome trace events of every rank", o.trace_file));
  add_options(set, o.checkpoints);
}

option_set train_option_set(train_options& o) {
  option_set set("train", "[OPTION...]",
                 "Trains the reference GPT. Sizes accept 4096, 512MiB, 2GiB, 1.5GB.");
  add_options(set, o);
  return set;
}

trainer::gpt_config chosen_model(const common_options& o) {
  const std::vector<std::string> given = dimensions(o, true);
  if (given.empty()) {
    try {
      return trainer::find_gpt(o.model.empty() ? "gpt-3m" : o.model);
    } catch (const invalid_argument& e) {
      throw invalid_argument(fmt::format("--model: {}", e.what()));
    }
  }
  if (!o.model.empty()) {
    throw invalid_argument(fmt::format("--model {} and {} exclude each other; give one of them",
                                       o.model, given.front()));
  }
  const std::vector<std::string> missing = dimensions(o, false);
  if (!missing.empty()) {
    throw invalid_argument(
        fmt::format("{} also needs {}", given.front(), fmt::join(missing, ", ")));
  }
  trainer::gpt_config model{"custom", *o.vocabulary, *o.layers, *o.channels, *o.heads, *o.context};
  if (model.channels % model.heads != 0) {
    throw invalid_argument(
        fmt::format("--heads {} is not accepted; expected a divisor of "
                    "--channels {}",
                    model.heads, model.channels));
  }
  return model;
}

std::chrono::milliseconds deadline_of(const common_options& o) noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::duration<double>(o.deadline));
}

int sequence_of(const common_options& o, const trainer::gpt_config& model) {
  return o.sequence.value_or(model.context);
}

std::uint64_t warmup_steps_of(const common_options& o) noexcept {
  if (o.warmup_steps) return static_cast<std::uint64_t>(*o.warmup_steps);
  return std::min<std::uint64_t>(o.steps / 5, 100);
}

void check(const common_options& o, int ranks) {
  const trainer::gpt_config model = chosen_model(o);
  if (sequence_of(o, model) > model.context) {
    throw invalid_argument(
        fmt::format("--sequence {} is not accepted; expected at most {}, the context of the model",
                    sequence_of(o, model), model.context));
  }
  if (o.dtype == dtype::fp16 && o.formats.master == optim::master_format::remainder) {
    throw invalid_argument(
        "--master remainder is not accepted with --dtype fp16; only bf16 and 16 bits more are an "
        "fp32 weight");
  }
  if (o.batch < ranks) {
    throw invalid_argument(fmt::format(
        "--batch {} is not accepted with {} ranks; expected a sequence for each", o.batch, ranks));
  }
  if (o.offload_activations && o.device == compute_device::cpu) {
    throw invalid_argument(
        "--offload-activations is not accepted with --device cpu; expected --device cuda");
  }
  if (o.shard_group && ranks % *o.shard_group != 0) {
    throw invalid_argument(
        fmt::format("--shard-group {} is not accepted with {} ranks; expected a divisor",
                    *o.shard_group, ranks));
  }
  if (warmup_steps_of(o) > o.steps) {
    throw invalid_argument(
        fmt::format("--warmup-steps {} is not accepted; expected at most --steps {}",
                    warmup_steps_of(o), o.steps));
  }
}

void check(const train_options& o, int ranks) {
  check(o.training, ranks);
  check_offload(o, ranks);
  check(o.checkpoints);
  if (!o.tokens.empty() && !o.training.text.empty()) {
    throw invalid_argument(fmt::format("--tokens {} and --text {} exclude each other; give one",
                                       o.tokens, o.training.text.front()));
  }
}

}  // namespace zero::cli
