#pragma once
// train_options: everything `zero train` can be told, and the part of it that `zero compare`
// shares.
//
// Plain values; bound to a command line by add_options and made whole by check.

#include "checkpoint/checkpoint_options.hpp"
#include "option_set.hpp"
#include "trainer/gpt_config.hpp"

#include <zero/base/dtype.hpp>
#include <zero/engine/options.hpp>
#include <zero/optim/formats.hpp>
#include <zero/optim/rule.hpp>
#include <zero/optim/schedule.hpp>
#include <zero/partition/layout.hpp>
#include <zero/partition/tiering.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zero::cli {

// Where state rests when it is not in use, from where is computed down; and where that is.
enum class offload_tier : unsigned char { none, cpu, nvme };
[[nodiscard]] const char* name_of(offload_tier tier) noexcept;
enum class compute_device : unsigned char { cpu, cuda };

// dynamic, or a fixed factor.
struct loss_scale_choice {
  bool dynamic = false;
  double factor = 1.0;
};

// What is trained and how; the same for every run of a comparison.
struct common_options {
  // ---- the model: a name, or all five numbers ----
  std::string model;
  std::optional<int> layers, channels, heads, vocabulary, context;

  // ---- the text and the batch ----
  std::vector<std::string> text;
  std::uint64_t steps = 20;
  int batch = 4;                // sequences of a step, all ranks and micro-batches together
  std::optional<int> sequence;  // tokens; default the model's context
  int accumulate = 1;
  zero::reduce_at reduce_at = zero::reduce_at::micro_batch;
  std::uint64_t seed = 1;

  // ---- arithmetic ----
  zero::dtype dtype = zero::dtype::fp32;
  gradient_storage gradient_dtype = gradient_storage::fp32;
  int quantize_gather = 0;  // bits of codes; 0: none
  int quantize_reduce = 0;
  optim::algorithm optimizer = optim::algorithm::adamw;
  optim::optimizer_formats formats;
  double learning_rate = 3e-4;
  optim::decay_shape schedule = optim::decay_shape::cosine;
  std::optional<int> warmup_steps;  // default a fifth of the steps, at most 100
  double final_learning_rate_fraction = 0.1;
  double weight_decay = 0.0;
  // Nothing: the optimizer's own, but for adam and adamw GPT's 0.95 for beta2.
  std::optional<double> beta1, beta2, epsilon, momentum;
  bool nesterov = false;
  zero::non_finite non_finite = zero::non_finite::skip;
  double clip_norm = 1.0;                       // 0: never
  std::optional<loss_scale_choice> loss_scale;  // default dynamic for fp16, else 1

  // ---- memory and time ----
  int prefetch = 1;
  zero::addressing addressing = zero::addressing::slots;
  partition::layout_kind layout = partition::layout_kind::flat;
  std::uint64_t resident_bytes = 0;
  std::optional<int> shard_group;  // ranks of a group; nothing: those of a host
  bool recompute = false;
  bool offload_activations = false;  // and recompute
  double deadline = 30.0;            // seconds
  std::string failure_folder;        // where failing ranks leave their last operations; "": nowhere
  compute_device device = compute_device::cpu;
  std::string nvme_path;  // of swap files; empty: as tier_choice.hpp says
  std::uint64_t nvme_endurance = 600'000'000'000'000;  // bytes a drive takes until it is worn out
  bool measure_links = true;
};

struct train_options {
  common_options training;
  std::optional<int> ranks;  // processes to start; nothing: one, or as the environment says
  std::string stage = "0";   // a row of the policy table
  // Nothing: none, but gradients with the optimizer; with a budget, what it takes to hold it.
  std::optional<offload_tier> offload_optimizer, offload_gradients, offload_parameters;
  std::optional<double> offload_ratio;         // of the optimizer states' bytes; default 1
  std::optional<std::uint64_t> memory_budget;  // bytes a rank
  // How large and how many cells and bounces are, to hold the budget; no option.
  std::optional<partition::tiering> settled;
  std::string config;  // files; empty: none
  std::string tokens;
  std::string init_from;
  std::string export_file;
  std::string json_file;
  std::string trace_file;
  int sample = 0;  // tokens to generate at the end
  checkpoint_options checkpoints;
};

// Every tier by its name.
[[nodiscard]] names_of<offload_tier> offload_choices();

// Binds the options to `o`, which must outlive `set`.
void add_options(option_set& set, common_options& o);
void add_options(option_set& set, train_options& o);

// The options of `zero train`.
[[nodiscard]] option_set train_option_set(train_options& o);

// The model that is meant. Throws invalid_argument for an unknown name, numbers that are missing,
// stand beside a name, or make no model.
[[nodiscard]] trainer::gpt_config chosen_model(const common_options& o);

// How long a rank waits for another that does not move.
[[nodiscard]] std::chrono::milliseconds deadline_of(const common_options& o) noexcept;

// Tokens of a sequence: the model's context unless told otherwise.
[[nodiscard]] int sequence_of(const common_options& o, const trainer::gpt_config& model);

// Steps in which the learning rate rises, as told or by default.
[[nodiscard]] std::uint64_t warmup_steps_of(const common_options& o) noexcept;

// Throws invalid_argument, naming the option, unless the options make sense with each other and
// on `ranks` ranks. Reads nothing from disk.
void check(const common_options& o, int ranks);
void check(const train_options& o, int ranks);

}  // namespace zero::cli
