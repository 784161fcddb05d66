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

#include <zero/base/error.hpp>

#include <fmt/format.h>

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
    throw error("--recommend: nothing that was looked at fits", error_class::resource);
  }
  write_json(o.recommend, config_json(made.recommended->run.options, o.ranks));
}

// What the machine does: measured now, or by whoever wrote the file.
std::optional<machine_record> find_record(const planner_options& o, const planned_model& model,
                                          const arguments& given) {
  if (!o.calibrate) {
    if (o.ceilings.empty()) return std::nullopt;
    return read_ceilings(o.ceilings);
  }
  require_no_launcher("plan");
  check_output("--ceilings", o.ceilings);
  machine_record record = measure_by_ranks(o, model, given);
  write_json(o.ceilings, ceilings_json(record));
  say(fmt::format("zero plan: {} has what {} rank{} of this machine can do\n", o.ceilings, o.ranks,
                  o.ranks == 1 ? "" : "s"));
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
