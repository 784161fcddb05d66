// zero report: comparisons drawn again, one or several beside each other.

#include "output_folder.hpp"
#include "report/report_page.hpp"
#include "say.hpp"
#include "subcommands.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <cstring>
#include <filesystem>

namespace zero::cli {
namespace {

struct report_options {
  std::vector<std::string> files;
  std::string output;
};

// What is no option is a file.
report_options parse(const arguments& given, option_set& set, std::string& output) {
  report_options result;
  arguments options;
  bool only_files = false;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string& token = given[i];
    if (only_files || token.empty() || token.front() != '-') {
      result.files.push_back(token);
    } else if (token == "--") {
      only_files = true;
    } else {
      options.push_back(token);
      if (token == "--output" && i + 1 < given.size()) options.push_back(given[++i]);
    }
  }
  set.parse(options);
  if (result.files.empty()) throw invalid_argument("FILE.json is missing; expected one or more");
  result.output = output;
  return result;
}

std::string default_output(const std::vector<std::string>& files) {
  const std::filesystem::path folder =
      files.size() == 1 ? std::filesystem::path(files.front()).parent_path() : "";
  return (folder / "report.html").string();
}

}  // namespace

int run_report(const arguments& given) {
  std::string output;
  option_set set("report", "FILE.json... [--output FILE.html]",
                 "Draws what `zero compare` wrote: one page with tables and pictures that needs\n"
                 "nothing else. Several files are drawn beside each other. Without python3 and\n"
                 "matplotlib the page has the tables alone.");
  set.add(text("output", "FILE.html",
               "the page (default: report.html beside the file, of several in this folder)",
               output));
  if (asks_for_help(given)) {
    fmt::print("{}", set.help());
    return 0;
  }
  report_options options = parse(given, set, output);
  if (options.output.empty()) options.output = default_output(options.files);
  std::vector<report_source> sources;
  for (const std::string& file : options.files) sources.push_back(read_report(file));
  std::error_code failure;
  for (const std::string& file : options.files) {
    if (!std::filesystem::equivalent(file, options.output, failure)) continue;
    throw invalid_argument(fmt::format(
        "--output '{}' is one of the files to be drawn; expected another", options.output));
  }
  try {
    check_writable_file(options.output, writing::replace);
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("--output: {}", e.what()));
  }
  signal_watch signals;
  const int signal = write_report(sources, options.output, "zero report", signals);
  if (signal != 0) {
    say(fmt::format("zero report: interrupted by signal {} ({})\n", signal, strsignal(signal)));
    return 128 + signal;
  }
  fmt::print("{}\n", options.output);
  return 0;
}

}  // namespace zero::cli
