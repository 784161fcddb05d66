// zero compare: the same training at several stages, bit for bit.

#include "compare/compare.hpp"

#include "compare/compare_report.hpp"
#include "machine.hpp"
#include "output_folder.hpp"
#include "progress.hpp"
#include "ranks/rank_environment.hpp"
#include "report/report_page.hpp"
#include "say.hpp"
#include "subcommands.hpp"
#include "train/device_ranks.hpp"
#include "train/sharding_choice.hpp"
#include "train/tier_choice.hpp"
#include "train/training_processes.hpp"
#include "version.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/swap_file.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>
#include <utility>

namespace zero::cli {
namespace {

constexpr const char* file_name = "compare.json";
constexpr const char* page_name = "report.html";

struct one_run {
  training_outcome outcome;
  json report;  // zero.run/1; null if there is none
};

// A sentence of a run, unless another run has said it.
void say_once(const std::string& note, std::set<std::string>& said) {
  if (said.insert(note).second) say(fmt::format("zero compare: {}\n", note));
}

one_run run_once(const compare_options& options, const std::string& stage, offload_tier offload,
                 const std::string& program, signal_watch& signals, std::set<std::string>& said) {
  one_run result;
  const std::string what = fmt::format(
      "{}{}, {} ranks", describe_policy(stage),
      offload == offload_tier::none ? "" : fmt::format(", offload {}", name_of(offload)),
      options.ranks);
  progress shown(what, options.training.steps, stderr);
  const auto on_line = [&](const json& line) {
    const auto schema = line.at("schema").get<std::string>();
    if (schema == "zero.run/1") {
      result.report = line;
    } else if (schema == "zero.note/1") {
      say_once(line.at("note").get<std::string>(), said);
    } else if (schema == "zero.step/1") {
      const json& loss = line.at("loss");
      shown.show(line.at("step").get<std::uint64_t>(), loss.is_number() ? loss.get<double>() : NAN);
    }
  };
  const int processes = options.training.device == compute_device::cuda ? 1 : options.ranks;
  result.outcome = run_training_processes({program, train_arguments(options, stage, offload),
                                           processes, 0, deadline_of(options.training)},
                                          on_line, signals);
  if (result.outcome.exit_code == 0 && result.report.is_null()) {
    result.outcome = {static_cast<int>(error_class::failure),
                      fmt::format("{} ended without a report", what)};
  }
  return result;
}

// Runs that offload to nvme have one folder for their swap files.
void find_swap_folder(compare_options& options, std::set<std::string>& said) {
  const auto& all = options.offloads;
  if (std::find(all.begin(), all.end(), offload_tier::nvme) == all.end()) return;
  std::string& path = options.training.nvme_path;
  if (path.empty()) {
    path = offload::default_swap_directory();
    say_once(fmt::format("swap files in {}", path), said);
  }
  check_nvme_path(path);
}

// Moves what all runs have in common from the run to the head of the report.
void add_run(json& report, json run) {
  run.erase("schema");
  run["name"] = name_of_run(run);
  for (const char* common : {"model", "text"}) {
    if (!run.contains(common)) continue;
    report[common] = run[common];
    run.erase(common);
  }
  report["runs"].push_back(std::move(run));
}

// Before anything is written: what was trained is told even where there is no room for files.
void print_runs(const json& report) {
  const json& runs = report.at("runs");
  fmt::print("{}\n\n", describe_text(report.at("text")));
  fmt::print("{}\n", format_table(runs));
  if (differences(runs).empty()) {
    fmt::print("The same parameters, bit for bit, in {}; every memory prediction held.\n",
               count_of_equal(runs));
  }
  std::fflush(stdout);
}

int conclude(const json& report, const std::string& folder) {
  fmt::print("{0}/{1}\n{0}/{2}\n", folder, file_name, page_name);
  std::fflush(stdout);
  const std::vector<std::string> found = differences(report.at("runs"));
  for (const std::string& line : found) say(fmt::format("zero compare: {}\n", line));
  return found.empty() ? 0 : static_cast<int>(error_class::failure);
}

}  // namespace

int compare(const compare_options& given, const arguments& command, const std::string& program,
            signal_watch& signals) {
  compare_options options = given;
  require_device(options.training);
  check(options.training, options.ranks);
  try {
    check_writable(options.output);
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("--output: {}", e.what()));
  }
  std::set<std::string> said;
  find_swap_folder(options, said);
  json report{{"schema", "zero.compare/1"}, {"command", command}, {"machine", describe_machine()},
              {"version", version},         {"model", nullptr},   {"text", nullptr},
              {"runs", json::array()}};
  for (const std::string& stage : options.stages) {
    for (const offload_tier offload : options.offloads) {
      one_run run = run_once(options, stage, offload, program, signals, said);
      if (run.outcome.exit_code != 0) {
        say(fmt::format("zero compare: {}\n", run.outcome.message));
        return run.outcome.exit_code;
      }
      add_run(report, std::move(run.report));
    }
  }
  print_runs(report);
  write_whole(options.output, file_name,
              report.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  const report_source written{options.output + "/" + file_name, report};
  const int signal =
      write_report({written}, options.output + "/" + page_name, "zero compare", signals);
  if (signal != 0) {
    say(fmt::format("zero compare: interrupted by signal {} ({})\n", signal, strsignal(signal)));
    return 128 + signal;
  }
  return conclude(report, options.output);
}

int run_compare(const arguments& given) {
  compare_options options;
  option_set set = compare_option_set(options);
  if (asks_for_help(given)) {
    fmt::print("{}", set.help());
    return 0;
  }
  set.parse(given);
  require_no_launcher("compare");
  arguments command{"zero", "compare"};
  command.insert(command.end(), given.begin(), given.end());
  signal_watch signals;
  return compare(options, command, this_program(), signals);
}

}  // namespace zero::cli
