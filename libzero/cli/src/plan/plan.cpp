// zero plan: what a training would hold, say, move and take, without one.

#include "output_folder.hpp"
#include "plan/ceilings_file.hpp"
#include "plan/measuring_ranks.hpp"
#include "plan/plan_report.hpp"
#include "ranks/rank_environment.hpp"
#include "ranks/result_channel.hpp"
#include "say.hpp"
#include "subcommands.hpp"
#include "train/config_file.hpp"
#include "train/tier_choice.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

namespace zero::cli {
namespace {

void check_output(const char* option, const std::string& path) {
  try {
    check_writable_file(path, writing::replace);
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("{}: {}", option, e.what()));
  }
}

void write_json(const std::string& file, const nlohmann::ordered_json& json) {
  const std::filesystem::path path = std::filesystem::absolute(file);
  write_whole(path.parent_path().string(), path.filename().string(), json.dump(1) + "\n");
}

// Throws out_of_memory where nothing is to be recommended.
void write_recommendation(const planner_options& o, const finished_plan& made) {
  if (o.recommend.empty()) return;
  if (!made.recommended) {
    const bool fits = std::any_of(made.runs.begin(), made.runs.end(),
                                  [](const planned_run& run) { return run.fits(); });
    throw error(fits ? "--recommend: a configuration cannot say any of these stages"
                     : "--recommend: nothing that was looked at fits",
                error_class::resource);
  }
  write_json(o.recommend, config_json(made.recommended->run.options, o.ranks));
}

bool plans_for(const planner_options& o, offload_tier tier) {
  return std::find(o.offloads.begin(), o.offloads.end(), tier) != o.offloads.end();
}

// A rate that was not measured must not look as if nothing were faster.
void require_rates(const planner_options& o, const machine_record& record) {
  const char* const device = o.run.training.device == compute_device::cuda ? "cuda" : "cpu";
  if (record.device != device) {
    throw invalid_argument(fmt::format(
        "--ceilings '{}': \"device\": '{}' is not accepted with --device {}; expected {}",
        o.ceilings, record.device, device, device));
  }
  const measured_machine& found = record.measured;
  const bool disk = found.disk_read > 0 && found.disk_written > 0;
  if (!disk && !o.nvme_bandwidth && plans_for(o, offload_tier::nvme)) {
    throw invalid_argument(fmt::format(
        "--ceilings '{}' has no rates of a disk (its folder had no room when they were measured); "
        "expected --nvme-bandwidth, or --offload without nvme",
        o.ceilings));
  }
  const bool collectives = found.all_gather > 0 && found.reduce_scatter > 0;
  if (!collectives && !o.interconnect_bandwidth && o.ranks > 1) {
    throw invalid_argument(fmt::format(
        "--ceilings '{}' has no rates of collectives, as measured with {} rank{}; expected "
        "--interconnect-bandwidth, or ceilings measured with {} ranks",
        o.ceilings, record.ranks, record.ranks == 1 ? "" : "s", o.ranks));
  }
}

// Rates depend on how many share the machine and on what is multiplied.
void say_what_differs(const planner_options& o, const planned_model& model,
                      const machine_record& record) {
  const char* const type = name_of(o.run.training.dtype);
  const int length = batch_of_rank(o, model).length;
  const bool same = model.gpt && record.model.channels == model.gpt->channels &&
                    record.model.heads == model.gpt->heads && record.batch.length == length;
  if (model.gpt && !same && record.device == "cpu" && !o.flops) {
    say(
        fmt::format("zero plan: --ceilings '{}' has passes of {} channels, {} heads and {} tokens, "
                    "not of {}, {} and {}: what they take is told by the rate of products, and is "
                    "longer\n",
                    o.ceilings, record.model.channels, record.model.heads, record.batch.length,
                    model.gpt->channels, model.gpt->heads, length));
  }
  if (record.ranks == o.ranks && record.dtype == type) return;
  const auto ranks = [](int count) {
    return fmt::format("{} rank{}", count, count == 1 ? "" : "s");
  };
  say(fmt::format(
      "zero plan: --ceilings '{}' are of {} with {}: seconds of {} with {} are further off\n",
      o.ceilings, record.dtype, ranks(record.ranks), type, ranks(o.ranks)));
}

// What the machine does: measured now, or by whoever wrote the file.
std::optional<machine_record> find_record(const planner_options& o, const planned_model& model,
                                          const arguments& given) {
  if (!o.calibrate) {
    if (o.ceilings.empty()) return std::nullopt;
    machine_record record = read_ceilings(o.ceilings);
    require_rates(o, record);
    say_what_differs(o, model, record);
    return record;
  }
  require_no_launcher("plan");
  check_output("--ceilings", o.ceilings);
  if (!o.run.training.nvme_path.empty()) check_nvme_path(o.run.training.nvme_path);
  machine_record record = measure_by_ranks(o, model, given);
  write_json(o.ceilings, ceilings_json(record));
  say(fmt::format("zero plan: {} has what {} rank{} of this machine can do\n", o.ceilings, o.ranks,
                  o.ranks == 1 ? "" : "s"));
  require_rates(o, record);
  return record;
}

}  // namespace

int run_plan(const arguments& given) {
  planner_options options;
  option_set set = planner_option_set(options);
  if (asks_for_help(given)) {
    fmt::print("{}", set.help());
    return 0;
  }
  set.parse(given);
  settle(options);
  const planned_model model = model_of(options);
  if (auto starter = result_channel::from_environment()) {
    return measure_as_rank(options, model, *starter);
  }
  if (!options.recommend.empty()) check_output("--recommend", options.recommend);
  if (!model.note.empty()) {
    say(fmt::format("zero plan: --model-file '{}' {}\n", options.model_file, model.note));
  }
  const plan_ceilings ceilings = ceilings_of(options, find_record(options, model, given));
  finished_plan made{{"zero", "plan"}, &options, &model, &ceilings, {}, {}};
  made.command.insert(made.command.end(), given.begin(), given.end());
  made.runs = plan_runs(options, model, ceilings);
  made.recommended = recommend(options, model, ceilings);
  write_recommendation(options, made);
  if (options.json) {
    fmt::print("{}\n",
               plan_json(made).dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}", plan_table(made));
  }
  return 0;
}

}  // namespace zero::cli
