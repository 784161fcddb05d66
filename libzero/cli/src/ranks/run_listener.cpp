#include "ranks/run_listener.hpp"

#include "compare/compare_report.hpp"
#include "output_folder.hpp"
#include "say.hpp"
#include "train/sharding_choice.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

void check_file(const char* option_name, const std::string& path, writing mode) {
  if (path.empty()) return;
  try {
    check_writable_file(path, mode);
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("{}: {}", option_name, e.what()));
  }
}

// No output may be an input or another output: one of them would be lost.
void check_apart(const train_options& o) {
  namespace fs = std::filesystem;
  std::vector<std::pair<std::string, std::string>> named{{"--json", o.json_file},
                                                         {"--export", o.export_file},
                                                         {"--trace", o.trace_file},
                                                         {"--tokens", o.tokens},
                                                         {"--init-from", o.init_from}};
  for (const std::string& path : o.training.text) named.emplace_back("--text", path);
  constexpr std::size_t outputs = 3;
  for (std::size_t i = 0; i < outputs; ++i) {
    for (std::size_t j = i + 1; j < named.size(); ++j) {
      std::error_code failure;
      const auto& [option, path] = named[i];
      const auto& [other, other_path] = named[j];
      if (path.empty() || other_path.empty()) continue;
      const bool device = fs::exists(path, failure) && !fs::is_regular_file(path, failure);
      if (device ||
          fs::weakly_canonical(path, failure) != fs::weakly_canonical(other_path, failure)) {
        continue;
      }
      throw invalid_argument(
          fmt::format("{} and {} are one file, '{}'; expected two", option, other, path));
    }
  }
}

// Tokens as text where they are bytes, else as numbers.
std::string readable(const json& tokens, int vocabulary) {
  std::string text;
  for (const json& token : tokens) {
    const int value = token.get<int>();
    if (vocabulary <= 257) {
      if (value < 256) text += static_cast<char>(value);
    } else {
      text += fmt::format("{} ", value);
    }
  }
  return text;
}

void print_summary(const json& run) {
  const json& model = run.at("model");
  const int ranks = run.at("ranks").get<int>();
  fmt::print("{}: {} parameters, {} rank{}\n", model.at("name").get<std::string>(),
             model.at("parameters").get<std::uint64_t>(), ranks, ranks == 1 ? "" : "s");
  fmt::print("{}\n", describe_text(run.at("text")));
  fmt::print("{}", format_table(json::array({run})));
  if (run.contains("sample")) {
    fmt::print("\n{}\n", readable(run["sample"], model.at("vocabulary").get<int>()));
  }
}

}  // namespace

run_listener::run_listener(const train_options& options, int ranks)
    : options_(options),
      what_(fmt::format("{}, {} rank{}", describe_policy(options.stage), ranks,
                        ranks == 1 ? "" : "s")),
      progress_(std::make_unique<progress>(what_, options.training.steps, stderr)) {
  check_file("--json", options.json_file, writing::in_place);
  check_file("--export", options.export_file, writing::replace);
  check_file("--trace", options.trace_file, writing::replace);
  check_apart(options);
  if (options.checkpoints.directory.empty()) return;
  try {
    check_writable(options.checkpoints.directory);
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("--checkpoint: {}", e.what()));
  }
}

void run_listener::take(const json& line) {
  const auto schema = line.at("schema").get<std::string>();
  if (schema == "zero.error/1") return;  // told once it has ended
  if (schema == "zero.note/1") {
    tell(line.at("note").get<std::string>());
    return;
  }
  write(line);
  if (schema == "zero.step/1") {
    show(line);
  } else if (schema == "zero.resume/1") {
    tell(fmt::format("goes on from {}", line.at("name").get<std::string>()));
  } else if (schema == "zero.checkpoint_failed/1") {
    tell(fmt::format("no checkpoint of step {}: {}; training goes on",
                     line.at("step").get<std::uint64_t>(), line.at("message").get<std::string>()));
  } else if (schema == "zero.run/1") {
    has_run_ = true;
    stop_progress();
    print_summary(line);
  }
}

// A progress line that stands on the terminal gives way.
void run_listener::tell(const std::string& what) {
  stop_progress();
  say(fmt::format("zero train: {}\n", what));
}

void run_listener::show(const json& step) {
  if (!progress_) progress_ = std::make_unique<progress>(what_, options_.training.steps, stderr);
  const json& loss = step.at("loss");
  progress_->show(step.at("step").get<std::uint64_t>(),
                  loss.is_number() ? loss.get<double>() : NAN);
}

// The report of a run that goes on is continued, on a line of its own whatever the one before left.
void run_listener::open_file() {
  const std::string& path = options_.json_file;
  std::error_code failure;
  const bool goes_on =
      options_.checkpoints.resume && std::filesystem::is_regular_file(path, failure);
  bool torn = false;
  if (goes_on) {
    std::ifstream before(path, std::ios::binary);
    before.seekg(-1, std::ios::end);
    torn = before && before.get() != '\n';
  }
  file_.open(path, goes_on ? std::ios::app : std::ios::trunc);
  if (torn) file_ << '\n';
}

void run_listener::write(const json& line) {
  if (options_.json_file.empty()) return;
  if (!file_.is_open()) open_file();
  file_ << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n" << std::flush;
  if (!file_) throw io_error("write", options_.json_file, errno);
}

}  // namespace zero::cli
