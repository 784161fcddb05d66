// zero: finds the subcommand, and turns what it throws into one line and an exit code.

#include "ranks/result_channel.hpp"
#include "say.hpp"
#include "subcommands.hpp"
#include "version.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <new>

namespace zero::cli {
namespace {

constexpr int usage_code = static_cast<int>(error_class::usage);

struct subcommand {
  const char* name;
  const char* purpose;
  int (*run)(const arguments&);
};

constexpr std::array subcommands{
    subcommand{"compare", "train one model at several stages and compare every bit", run_compare},
    subcommand{"train", "train the reference GPT", run_train},
    subcommand{"plan", "what a training would take, of memory and of time", run_plan},
    subcommand{"checkpoint", "inspect, verify, export and reshard checkpoints", run_checkpoint},
    subcommand{"report", "draw what compare wrote, several files beside each other", run_report},
    subcommand{"launch", "start ranks of any program on this machine", run_launch},
    subcommand{"operations", "where ranks went apart, from the records of a failure",
               run_operations},
    subcommand{"info", "what was compiled in and what works here", run_info},
};

void print_help() {
  fmt::print("usage: zero SUBCOMMAND [OPTION...]\n\n");
  for (const subcommand& s : subcommands) fmt::print("  {:<10} {}\n", s.name, s.purpose);
  fmt::print(
      "\n`zero SUBCOMMAND --help` lists every option with its unit and default.\n"
      "Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 peer lost or hung, 4 desync between ranks,\n"
      "5 corrupt data, 6 out of a resource.\n");
}

int refuse(const std::string& what) {
  std::vector<std::string> names;
  for (const subcommand& s : subcommands) names.emplace_back(s.name);
  say(fmt::format("zero: {}; expected {}, --help or --version\n", what, one_of(names)));
  return usage_code;
}

int report(const char* name, int kind, const std::string& message) {
  say(fmt::format("zero {}: {}\n", name, message));
  return kind;
}

int run(const subcommand& chosen, const arguments& given) {
  try {
    return chosen.run(given);
  } catch (const error& e) {
    return report(chosen.name, static_cast<int>(e.kind()), e.what());
  } catch (const std::bad_alloc&) {
    return report(chosen.name, static_cast<int>(error_class::resource), "out of memory");
  } catch (const std::exception& e) {
    return report(chosen.name, static_cast<int>(error_class::failure), e.what());
  }
}

int dispatch(const arguments& given) {
  if (given.empty()) return refuse("no subcommand");
  const std::string& first = given.front();
  if (first == "--help" || first == "-h") {
    print_help();
    return 0;
  }
  if (first == "--version") {
    fmt::print("zero {}\n", version);
    return 0;
  }
  for (const subcommand& s : subcommands) {
    if (first == s.name) return run(s, arguments(given.begin() + 1, given.end()));
  }
  return refuse(fmt::format("unknown subcommand '{}'", first));
}

}  // namespace
}  // namespace zero::cli

int main(int count, char** values) {
  // Whoever started us may ignore it; then ranks would work on for a reader that is gone.
  signal(SIGPIPE, SIG_DFL);
  // Memory that ranks share is a file to the limit on sizes of files: an error, not a silent end.
  signal(SIGXFSZ, SIG_IGN);
  // A standard stream that is closed would give its number to the next file opened.
  while (true) {
    const int lowest = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (lowest < 0 || lowest > 2) {
      if (lowest > 2) close(lowest);
      break;
    }
  }
  const int code = zero::cli::dispatch(zero::cli::arguments(values + 1, values + count));
  // Results nobody could read are a failure (a full disk behind a redirection).
  if (std::fflush(stdout) != 0 && code == 0) {
    zero::cli::say(fmt::format("zero: cannot write to standard output\n"));
    return static_cast<int>(zero::error_class::failure);
  }
  return code;
}
