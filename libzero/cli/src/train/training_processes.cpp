#include "train/training_processes.hpp"

#include "ranks/rank_processes.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>

namespace zero::cli {
namespace {

json parse_line(int rank, std::string_view line) {
  json parsed = json::parse(line, nullptr, false);
  if (parsed.is_discarded() || !parsed.is_object() || !parsed.contains("schema")) {
    throw error(fmt::format("rank {} sent a line that is no result: {}", rank, line));
  }
  return parsed;
}

}  // namespace

std::string this_program() {
  std::error_code missing;
  const auto file = std::filesystem::read_symlink("/proc/self/exe", missing);
  // The link itself still works when the file was replaced, by a build say.
  return missing || !std::filesystem::exists(file, missing) ? "/proc/self/exe" : file.string();
}

training_outcome run_training_processes(const training_life& what, const line_function& on_line,
                                        signal_watch& signals) {
  struct words {
    int rank;  // of those that are threads of a process
    std::string message;
  };
  std::map<int, words> last_words;  // by process
  ranks_program ranked;
  ranked.command = what.given;
  ranked.command.insert(ranked.command.begin(), what.program);
  ranked.ranks = what.ranks;
  ranked.restart = what.restart;
  ranked.deadline = what.deadline;
  ranked.on_result = [&](int rank, std::string_view line) -> std::optional<int> {
    const json parsed = parse_line(rank, line);
    if (parsed["schema"] != "zero.error/1") {
      on_line(parsed);
      return std::nullopt;
    }
    last_words[rank] = {parsed.value("rank", rank), parsed.at("message").get<std::string>()};
    return parsed.at("kind").get<int>();
  };
  const ranks_outcome outcome = run_ranks(ranked, signals);
  training_outcome result;
  result.interrupted = outcome.interrupted_by != 0;
  result.all_ended = outcome.all_ended;
  if (result.interrupted) {
    result.exit_code = 128 + outcome.interrupted_by;
    result.message = fmt::format("interrupted by signal {} ({})", outcome.interrupted_by,
                                 strsignal(outcome.interrupted_by));
  } else if (outcome.failure) {
    const rank_failure& failure = *outcome.failure;
    const bool is_lost = failure.signal != 0 || !failure.why.empty();
    result.exit_code = is_lost ? static_cast<int>(error_class::peer_lost) : failure.exit_code;
    result.message = failure.describe();
    if (!is_lost && last_words.count(failure.rank) != 0) {
      const words& last = last_words[failure.rank];
      // What is wrong with the input is so on every rank.
      const bool of_all = failure.exit_code == static_cast<int>(error_class::usage);
      result.message = of_all ? last.message : fmt::format("rank {}: {}", last.rank, last.message);
    }
  }
  result.message += outcome.left;
  return result;
}

}  // namespace zero::cli
