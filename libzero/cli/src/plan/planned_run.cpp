#include "plan/planned_run.hpp"

#include "train/tier_choice.hpp"
#include "train/train_rank.hpp"
#include "trainer/activations.hpp"

#include <zero/engine/planned_rank.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <algorithm>

namespace zero::cli {
namespace {

engine_options engine_of(const train_options& options, const planned_model& model) {
  train_options any = options;  // of whatever model: its order of units is the plan's own
  common_options& o = any.training;
  o.model.clear();
  o.layers = o.channels = o.heads = o.vocabulary = o.context = std::nullopt;
  engine_options engine = engine_options_of(any);
  engine.forward_order = order_of(model);
  return engine;
}

memory_place place_of(const train_options& options) {
  return options.training.device == compute_device::cuda ? memory_place::device
                                                         : memory_place::host;
}

int sequence_of(const planned_model& model, const common_options& o) {
  return o.sequence.value_or(model.context);
}

// Sequences of the rank and micro-batch that has most.
int most_sequences(const common_options& o, int ranks) {
  const int per_rank = (o.batch + ranks - 1) / ranks;
  return (per_rank + o.accumulate - 1) / o.accumulate;
}

void take_memory(planned_run& run, const partition::memory_plan& plan) {
  run.memory = plan.bytes();
  run.peak = plan.peak();
  for (const partition::allocation& a : plan.allocations()) {
    const bool rests = a.account == memory_account::parameters ||
                       a.account == memory_account::gradients ||
                       a.account == memory_account::optimizer;
    const bool records = a.what == partition::purpose::tier_records;
    if (rests || records) run.state += a.payload;
    if (records && a.account == memory_account::host) run.host_state += a.payload;
  }
}

void take_communication(planned_run& run, const partition::communication_plan& plan) {
  run.communication = plan.step();
  for (const partition::planned_operation& o : plan.operations) {
    if (o.bucket == partition::no_bucket) continue;
    const double sent = static_cast<double>(o.count) / o.ranks * (o.ranks - 1);
    run.elements_sent += sent * static_cast<double>(o.times);
  }
}

// Passes that were measured of this very model, or nothing.
const machine_record* measured_passes(const planned_model& model, const common_options& o,
                                      const plan_ceilings& ceilings) {
  if (!ceilings.measured || !model.gpt) return nullptr;
  const machine_record& r = *ceilings.measured;
  const bool same = r.device == "cpu" && o.device == compute_device::cpu &&
                    r.dtype == name_of(o.dtype) && r.recompute == o.recompute &&
                    r.model.channels == model.gpt->channels && r.model.heads == model.gpt->heads &&
                    r.batch.length == sequence_of(model, o) && r.measured.forward.block > 0;
  return same ? &r : nullptr;
}

// The first use of a GPT is its embedding's, the last its head's, the one before its norm's.
std::vector<double> times_by_use(const planned_model& model, const pass_seconds& seconds,
                                 double times) {
  std::vector<double> result(model.forward.size(), seconds.block * times);
  result.front() = seconds.embedding * times;
  result[result.size() - 2] = seconds.norm * times;
  result.back() = seconds.head_entry * model.gpt->vocabulary * times;
  return result;
}

// How many times as long passes take because ranks wait for each other at what is gathered.
double waiting_of(const partition::memory_plan& plan, const measured_machine& measured) {
  const auto& uses = plan.parameter_slots().uses;
  const bool gathers = std::any_of(uses.begin(), uses.end(), [](const partition::slot_use& use) {
    return use.slot != partition::no_slot;
  });
  if (!gathers) return 1;
  return plan.options().prefetch == 0 ? measured.gathered_on_demand : measured.gathered_ahead;
}

partition::compute_times compute_times_of(const planned_model& model, const common_options& o,
                                          int sequences, const partition::memory_plan& plan,
                                          const plan_ceilings& ceilings) {
  partition::compute_times times;
  if (const machine_record* record = measured_passes(model, o, ceilings)) {
    const double share = waiting_of(plan, record->measured) * static_cast<double>(sequences) /
                         record->batch.sequences;
    times.forward = times_by_use(model, record->measured.forward, share);
    times.backward = times_by_use(model, record->measured.backward, share);
    return times;
  }
  if (ceilings.operations == 0) {
    times.forward.resize(model.forward.size());
    times.backward.resize(model.forward.size());
    return times;
  }
  const int length = sequence_of(model, o);
  const double tokens = static_cast<double>(sequences) * length;
  for (const use_of_unit& use : model.forward) {
    const double forward = operations_of(use, tokens, length) / ceilings.operations;
    times.forward.push_back(forward);
    // What is recomputed are blocks.
    const bool again = o.recompute && use.attention_channels > 0;
    times.backward.push_back(again ? 3 * forward : 2 * forward);
  }
  return times;
}

void take_activations(planned_run& run, const planned_model& model, int sequences) {
  const common_options& o = run.options.training;
  if (!model.gpt || o.device != compute_device::cpu) return;
  trainer::gpt_options needed;
  needed.batch = sequences;
  needed.sequence = sequence_of(model, o);
  needed.storage = o.dtype;
  needed.recompute = o.recompute ? trainer::recomputation::block : trainer::recomputation::none;
  run.activations = trainer::activations::bytes_of(*model.gpt, needed);
}

// What state and buffers (and on a CPU activations) take of what there is.
void compare(planned_run& run, const planner_options& o, bool opaque) {
  const auto of = [&](memory_account a) { return run.memory[static_cast<std::size_t>(a)]; };
  const auto on_node = static_cast<std::uint64_t>(ranks_on_node(o));
  const std::uint64_t classes = of(memory_account::parameters) + of(memory_account::gradients) +
                                of(memory_account::optimizer);
  const std::uint64_t device =
      classes + (opaque ? 0 : of(memory_account::buffers)) + run.activations.value_or(0);
  const std::uint64_t host = opaque ? run.host_state : of(memory_account::host);
  const bool apart = run.options.training.device == compute_device::cuda;
  const auto hold = [&](const char* option, const std::optional<std::uint64_t>& available,
                        std::uint64_t asked) {
    if (available && asked > *available) run.shortages.push_back({option, asked, *available});
  };
  hold("--memory-budget", o.run.memory_budget, opaque ? classes + host : run.peak);
  hold("--device-memory", o.device_memory, device);
  hold("--host-memory", o.host_memory, on_node * (apart ? host : host + device));
  hold("--nvme-capacity", o.nvme_capacity, on_node * of(memory_account::disk));
}

}  // namespace

bool planned_run::waits_for_cells() const noexcept {
  if (!options.settled) return false;
  const partition::tiering usual;
  const bool passes =
      tiers_of(options).parameters != partition::tier::device ||
      tiers_of(options).gradients.value_or(partition::tier::device) != partition::tier::device;
  const std::uint64_t least = passes ? usual.cell_elements : usual.cell_elements / 2;
  return options.settled->depth < usual.depth || options.settled->cell_elements < least;
}

measured_batch batch_of_rank(const planner_options& o, const planned_model& model) {
  return {most_sequences(o.run.training, o.ranks), sequence_of(model, o.run.training)};
}

planned_run plan_run(const planner_options& o, const planned_model& model,
                     const plan_ceilings& ceilings, const train_options& options) {
  const common_options& training = options.training;
  planned_run run;
  run.options = options;
  run.offload = lowest_tier(options, o.ranks);
  const planned_rank rank =
      plan_rank(model.spec, engine_of(options, model), o.ranks, place_of(options),
                model.opaque ? units_of::sealed : units_of::model);
  take_memory(run, rank.memory);
  const int micro_batches = training.accumulate;
  take_communication(run, partition::plan_communication(rank.layout, rank.memory, micro_batches));
  if (model.gpt && o.ranks > 1) {
    // The trainer tells all ranks what every rank's loss was.
    run.communication.all_gather += sizeof(double) * static_cast<std::uint64_t>(o.ranks);
    ++run.communication.calls;
  }
  run.moved = partition::plan_tier_traffic(rank.layout, rank.memory, micro_batches).step();
  const int sequences = most_sequences(training, o.ranks);
  take_activations(run, model, sequences);
  run.tokens = static_cast<std::uint64_t>(training.batch) *
               static_cast<std::uint64_t>(sequence_of(model, training));
  const partition::compute_times times =
      compute_times_of(model, training, sequences, rank.memory, ceilings);
  run.step =
      partition::estimate_step(rank.layout, rank.memory, times, ceilings.machine, micro_batches);
  compare(run, o, model.opaque);
  return run;
}

planned_run plan_fitted(const planner_options& o, const planned_model& model,
                        const plan_ceilings& ceilings, const train_options& options) {
  planned_run run = plan_run(o, model, ceilings, options);
  if (run.fits() || !o.run.memory_budget || model.opaque) return run;
  // A configuration cannot say that parameters are to stay, only that they are to go.
  partition::free_tiers may;
  may.parameters = lowest_tier(options, o.ranks) != offload_tier::none &&
                   options.offload_parameters.value_or(offload_tier::none) == offload_tier::none;
  const partition::fitted found = sharded_optimizer::fit(
      model.spec, engine_of(options, model), o.ranks, may, *o.run.memory_budget, place_of(options));
  if (!found.fits) return run;
  train_options smaller = options;
  take_tiers(smaller, found.tiers, o.ranks);
  return plan_run(o, model, ceilings, smaller);
}

std::optional<train_options> chosen_tiers(const planner_options& o, const planned_model& model,
                                          const train_options& options) {
  if (!o.run.memory_budget || model.opaque) return std::nullopt;
  const partition::fitted found = sharded_optimizer::fit(
      model.spec, engine_of(options, model), o.ranks, partition::free_tiers{true, true, true, true},
      *o.run.memory_budget, place_of(options));
  if (!found.fits) return std::nullopt;
  train_options chosen = options;
  take_tiers(chosen, found.tiers, o.ranks);
  return chosen;
}

std::vector<planned_run> plan_runs(const planner_options& o, const planned_model& model,
                                   const plan_ceilings& ceilings) {
  std::vector<planned_run> runs;
  for (const std::string& stage : o.stages) {
    for (const offload_tier offload : o.offloads) {
      train_options options = o.run;
      options.stage = stage;
      offload_all(options, offload, o.ranks);
      check_offload(options, o.ranks);
      settle_gradients(options, o.ranks);
      runs.push_back(plan_fitted(o, model, ceilings, options));
    }
  }
  return runs;
}

}  // namespace zero::cli
