#include "run_listener.hpp"

#include "compare_report.hpp"
#include "output_folder.hpp"
#include "say.hpp"
#include "sharding_choice.hpp"

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
      progress_(
          std::make_unique<progress>(fmt::format("{}, {} rank{}", describe_policy(options.stage),
                                                 ranks, ranks == 1 ? "" : "s"),
                                     options.training.steps, stderr)) {
  check_file("--json", options.json_file, writing::in_place);
  check_file("--export", options.export_file, writing::replace);
  check_file("--trace", options.trace_file, writing::replace);
  check_apart(options);
}

void run_listener::take(const json& line) {
  if (line.at("schema") == "zero.note/1") {
    say(fmt::format("zero train: {}\n", line.at("note").get<std::string>()));
    return;
  }
  write(line);
  if (line.at("schema") == "zero.step/1") {
    const json& loss = line.at("loss");
    progress_->show(line.at("step").get<std::uint64_t>(),
                    loss.is_number() ? loss.get<double>() : NAN);
  } else {
    stop_progress();
    print_summary(line);
  }
}

void run_listener::write(const json& line) {
  if (options_.json_file.empty()) return;
  if (!file_.is_open()) file_.open(options_.json_file, std::ios::trunc);
  file_ << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n" << std::flush;
  if (!file_) throw io_error("write", options_.json_file, errno);
}

}  // namespace zero::cli
