// zero launch: N copies of any program as ranks of this machine.

#include "ranks/rank_environment.hpp"
#include "ranks/rank_processes.hpp"
#include "ranks/restarts.hpp"
#include "say.hpp"
#include "subcommands.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>

namespace zero::cli {
namespace {

constexpr int signal_code = 128;  // plus the signal: the shells' exit code

// Where PROGRAM stands: after "--", or the first argument that is no option of ours.
std::size_t find_program(const arguments& given) {
  std::size_t at = 0;
  while (at < given.size()) {
    const std::string& token = given[at];
    if (token == "--") return at + 1;
    if (token.size() < 2 || token.front() != '-') return at;
    at += token == "-n" || token == "--ranks" || token == "--max-restarts" ? 2 : 1;
  }
  return given.size();
}

option_set launch_options(std::optional<int>& ranks, int& restarts) {
  option_set options(
      "launch", "-n N [--max-restarts N] [--] PROGRAM [ARGUMENT...]",
      "Starts N copies of PROGRAM with RANK, LOCAL_RANK, WORLD_SIZE and\n"
      "LOCAL_WORLD_SIZE set and \"[rank] \" before each line they write. If one fails,\n"
      "the others are ended and its exit code is returned, 128 + signal if it was\n"
      "killed. With --max-restarts all of them are started again first, with\n"
      "ZERO_RESTART counting how often; not after exit code 2 or an interruption.");
  options.add(whole("ranks,n", "N", "copies to start; needed", ranks, {1, 4096}));
  options.add(whole("max-restarts", "N", "times a job that failed is started again", restarts,
                    {0, 1U << 20}));
  return options;
}

life life_of(const ranks_outcome& outcome) {
  life ended;
  ended.all_ended = outcome.all_ended;
  ended.interrupted = outcome.interrupted_by != 0;
  if (ended.interrupted) {
    ended.exit_code = signal_code + outcome.interrupted_by;
  } else if (outcome.failure) {
    const rank_failure& failure = *outcome.failure;
    ended.exit_code = failure.signal != 0 ? signal_code + failure.signal : failure.exit_code;
    ended.why = failure.describe();
  }
  ended.why += outcome.left;
  return ended;
}

}  // namespace

int run_launch(const arguments& given) {
  const std::size_t program_at = find_program(given);
  const auto split =
      given.begin() + static_cast<std::ptrdiff_t>(std::min(program_at, given.size()));
  arguments own(given.begin(), split);
  if (!own.empty() && own.back() == "--") own.pop_back();

  std::optional<int> ranks;
  int restarts = 0;
  option_set options = launch_options(ranks, restarts);
  if (asks_for_help(own)) {
    fmt::print("{}", options.help());
    return 0;
  }
  options.parse(own);
  if (!ranks) throw invalid_argument("-n is missing; expected -n N [--] PROGRAM [ARGUMENT...]");
  if (split == given.end()) throw invalid_argument("PROGRAM is missing; expected it after -n N");
  require_no_launcher("launch");

  ranks_program program;
  program.command.assign(split, given.end());
  program.ranks = *ranks;
  program.output = output_of_ranks::prefixed;
  signal_watch signals;
  const life last = run_lives("zero launch", restarts, signals, [&](int restart) {
    program.restart = restart;
    return life_of(run_ranks(program, signals));
  });
  if (!last.why.empty()) say(fmt::format("zero launch: {}\n", last.why));
  return last.exit_code;
}

}  // namespace zero::cli
