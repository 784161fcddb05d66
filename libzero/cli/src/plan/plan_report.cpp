#include "plan/plan_report.hpp"

#include "train/sharding_choice.hpp"
#include "train/state_bytes.hpp"
#include "train/tier_choice.hpp"
#include "version.hpp"

#include <zero/base/bytes.hpp>
#include <zero/partition/sharding_policy.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

json memory_json(const finished_plan& plan, const planned_run& run) {
  json predicted;
  for (std::size_t i = 0; i < memory_account_count; ++i) {
    predicted[name_of(static_cast<memory_account>(i))] = run.memory[i];
  }
  predicted["peak"] = run.peak;
  if (plan.model->opaque) {
    // Transients depend on units.
    predicted["buffers"] = nullptr;
    predicted["peak"] = nullptr;
    predicted["host"] = run.host_state;
  }
  return {{"rank", 0},
          {"ranks", plan.options->ranks},
          {"predicted", std::move(predicted)},
          {"state", run.state},
          {"activations", run.activations ? json(*run.activations) : json()}};
}

json communication_json(const planned_run& run) {
  return {{"rank", 0},
          {"all_gather", run.communication.all_gather},
          {"reduce_scatter", run.communication.reduce_scatter},
          {"all_to_all", run.communication.all_to_all},
          {"calls", run.communication.calls},
          {"elements_sent", run.elements_sent}};
}

json moved_json(const planned_run& run) {
  return {{"rank", 0},
          {"host_to_device", run.moved.host_to_device},
          {"device_to_host", run.moved.device_to_host},
          {"disk_read", run.moved.disk_read},
          {"disk_written", run.moved.disk_written}};
}

// What all ranks write, at the pace of the plan.
json wear_json(const finished_plan& plan, const planned_run& run) {
  constexpr double seconds_of_day = 86400.0;
  const auto on_node = static_cast<std::uint64_t>(ranks_on_node(*plan.options));
  const std::uint64_t written = run.moved.disk_written * on_node;
  const auto endurance = static_cast<double>(run.options.training.nvme_endurance);
  const double steps = endurance / static_cast<double>(written);
  const bool worn = written > 0;
  return {{"written_per_step", written},
          {"endurance", run.options.training.nvme_endurance},
          {"steps", worn ? json(steps) : json()},
          {"days", worn ? json(steps * run.step.estimate / seconds_of_day) : json()}};
}

json run_json(const finished_plan& plan, const planned_run& run) {
  const train_options& o = run.options;
  const partition::sharding_policy policy =
      partition::policy_of_name(o.stage, o.training.shard_group.value_or(0));
  json line{{"stage", partition::stage_of(policy)},
            {"policy", o.stage},
            {"shard_group", has_groups(policy) ? json(policy.group_size) : json()}};
  report_tiers(line, o, plan.options->ranks);
  line["ranks"] = plan.options->ranks;
  line["prefetch"] = o.training.prefetch;
  line["accumulate"] = o.training.accumulate;
  line["batch"] = o.training.batch;
  line["memory"] = json::array({memory_json(plan, run)});
  line["communication"] = json::array({communication_json(run)});
  line["offload_io"] = json::array({moved_json(run)});
  line["disk_wear"] = wear_json(plan, run);
  line["step_seconds"] = {{"lower_bound", run.step.lower_bound},
                          {"estimate", run.step.estimate},
                          {"bound_by", name_of(run.step.bound_by)}};
  for (std::size_t i = 0; i < partition::step_resource_count; ++i) {
    line["busy_seconds"][name_of(partition::step_resource(i))] = run.step.busy[i];
  }
  line["tokens_per_second"] =
      run.step.estimate > 0 ? json(static_cast<double>(run.tokens) / run.step.estimate) : json();
  line["fits"] = run.fits();
  line["waits_for_cells"] = run.waits_for_cells();
  line["shortages"] = json::array();
  for (const shortage& s : run.shortages) {
    line["shortages"].push_back({{"of", s.of}, {"asked", s.asked}, {"available", s.available}});
  }
  return line;
}

json limits_json(const planner_options& o) {
  const auto limit = [](const std::optional<std::uint64_t>& bytes) {
    return bytes ? json(*bytes) : json();
  };
  return {{"memory_budget", limit(o.run.memory_budget)},
          {"device_memory", limit(o.device_memory)},
          {"host_memory", limit(o.host_memory)},
          {"nvme_capacity", limit(o.nvme_capacity)}};
}

std::string in_bytes(std::uint64_t bytes) {
  return fmt::format("{:>10}", bytes == 0 ? "-" : format_bytes(bytes));
}

std::string in_seconds(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.3g} s", seconds);
}

std::string table_row(const finished_plan& plan, const planned_run& run) {
  const bool opaque = plan.model->opaque;
  const auto of = [&](memory_account a) { return run.memory[static_cast<std::size_t>(a)]; };
  std::string row = fmt::format("{:>7} {:>7}", run.options.stage, name_of(run.offload));
  for (const memory_account a :
       {memory_account::parameters, memory_account::gradients, memory_account::optimizer}) {
    row += " " + in_bytes(of(a));
  }
  row += " " + (opaque ? fmt::format("{:>10}", "?") : in_bytes(of(memory_account::buffers)));
  row += " " + in_bytes(opaque ? run.host_state : of(memory_account::host));
  row += " " + in_bytes(of(memory_account::disk));
  const partition::communication_volume& said = run.communication;
  row += " " + in_bytes(said.all_gather + said.reduce_scatter + said.all_to_all);
  row += fmt::format(" {:>10} {:>10}  {:<15} {}", in_seconds(run.step.lower_bound),
                     in_seconds(run.step.estimate), name_of(run.step.bound_by),
                     run.fits() ? "yes" : "no");
  for (const shortage& s : run.shortages) {
    row += fmt::format(", {} of {}", s.of, format_bytes(s.asked));
  }
  return row + "\n";
}

bool leaves_activations_out(const finished_plan& plan) {
  return std::any_of(plan.runs.begin(), plan.runs.end(),
                     [](const planned_run& run) { return !run.activations.has_value(); });
}

// What the numbers above leave out.
std::string caveats(const finished_plan& plan) {
  if (plan.model->opaque) {
    return "Without dimensions the model cannot be seen into: state is exact; buffers, staging in\n"
           "host memory and activations are left out, and what fits must have room for them too.\n";
  }
  std::string text;
  if (leaves_activations_out(plan)) {
    text +=
        "Activations are not known of other models than zero train's, nor on a GPU: they are left\n"
        "out, and what fits must have room for them too.\n";
  }
  const bool waits = std::any_of(plan.runs.begin(), plan.runs.end(),
                                 [](const planned_run& run) { return run.waits_for_cells(); });
  if (waits) {
    text +=
        "Inside --memory-budget some go in small cells that wait for each other; their times are\n"
        "too short by that.\n";
  }
  return text;
}

bool any_fits(const finished_plan& plan) {
  return std::any_of(plan.runs.begin(), plan.runs.end(),
                     [](const planned_run& run) { return run.fits(); });
}

}  // namespace

json plan_json(const finished_plan& plan) {
  const planner_options& o = *plan.options;
  json report{
      {"schema", "zero.plan/1"},
      {"command", plan.command},
      {"version", version},
      {"model", describe(*plan.model)},
      {"ranks", o.ranks},
      {"ranks_per_node", ranks_on_node(o)},
      {"dtype", name_of(o.run.training.dtype)},
      {"gradient_dtype", o.run.training.gradient_dtype == gradient_storage::fp32 ? "fp32" : "same"},
      {"optimizer", name_of(o.run.training.optimizer)},
      {"bytes_per_parameter", bytes_per_parameter(o.run.training)},
      {"limits", limits_json(o)},
      {"ceilings", describe(*plan.ceilings)},
      {"transients", plan.model->opaque ? "left out" : "planned"},
      {"activations", leaves_activations_out(plan) ? "left out" : "planned"},
      {"runs", json::array()}};
  for (const planned_run& run : plan.runs) report["runs"].push_back(run_json(plan, run));
  report["recommendation"] = nullptr;
  if (plan.recommended) report["recommendation"] = describe(*plan.recommended, o.ranks);
  return report;
}

std::string plan_table(const finished_plan& plan) {
  const planner_options& o = *plan.options;
  std::string text =
      fmt::format("{}: {} parameters in {}; ranks: {}, {} on a node\n", plan.model->name,
                  plan.model->parameters, name_of(o.run.training.dtype), o.ranks, ranks_on_node(o));
  text += fmt::format("{:>7} {:>7}", "stage", "offload");
  for (const char* column : {"parameters", "gradients", "optimizer", "buffers", "host", "disk",
                             "said/step", "at least", "step"}) {
    text += fmt::format(" {:>10}", column);
  }
  text += fmt::format("  {:<15} {}\n", "bound by", "fits");
  for (const planned_run& run : plan.runs) text += table_row(plan, run);
  text += caveats(plan);
  text += fmt::format("Times {}.\n", plan.ceilings->source);
  text += plan.recommended
              ? fmt::format("Recommended: {}; {}.\n", name_of(plan.recommended->run, o.ranks),
                            plan.recommended->reason)
              : std::string(any_fits(plan)
                                ? "None is recommended: a configuration cannot say these stages.\n"
                                : "None of them fits.\n");
  return text;
}

}  // namespace zero::cli
