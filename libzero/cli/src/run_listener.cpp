#include "run_listener.hpp"

#include "compare_report.hpp"
#include "output_folder.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cmath>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

void check_file(const char* option_name, const std::string& path) {
  if (path.empty()) return;
  try {
    check_writable_file(path);
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("{}: {}", option_name, e.what()));
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
  fmt::print("{}: {} parameters, {} ranks\n", model.at("name").get<std::string>(),
             model.at("parameters").get<std::uint64_t>(), run.at("ranks").get<int>());
  fmt::print("{}\n", describe_text(run.at("text")));
  fmt::print("{}", format_table(json::array({run})));
  if (run.contains("sample")) {
    fmt::print("\n{}\n", readable(run["sample"], model.at("vocabulary").get<int>()));
  }
}

}  // namespace

run_listener::run_listener(const train_options& options, int ranks)
    : options_(options),
      progress_(std::make_unique<progress>(
          fmt::format("stage {}, {} rank{}", options.stage, ranks, ranks == 1 ? "" : "s"),
          options.training.steps, stderr)) {
  check_file("--json", options.json_file);
  check_file("--export", options.export_file);
  check_file("--trace", options.trace_file);
}

void run_listener::take(const json& line) {
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
  file_ << line.dump() + "\n" << std::flush;
  if (!file_) throw io_error("write", options_.json_file, errno);
}

}  // namespace zero::cli
