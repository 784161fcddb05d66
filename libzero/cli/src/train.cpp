// zero train: the reference trainer, on ranks of its own or of whoever started it.

#include "device_ranks.hpp"
#include "rank_environment.hpp"
#include "result_channel.hpp"
#include "run_listener.hpp"
#include "say.hpp"
#include "subcommands.hpp"
#include "train_rank.hpp"
#include "training_processes.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/shared_memory.hpp>
#include <zero/collectives/single.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <new>

namespace zero::cli {
namespace {

std::unique_ptr<collectives::communicator> join(const std::optional<rank_identity>& identity) {
  if (!identity || identity->who.size == 1) return collectives::make_single();
  require_reachable_peers(*identity);
  auto ranks = collectives::shared_memory_world::attach(identity->arena);
  if (ranks.size() != identity->who.size) {
    throw invalid_argument(fmt::format("WORLD_SIZE is {}, but the ranks' memory is for {}",
                                       identity->who.size, ranks.size()));
  }
  return ranks.join(identity->who.rank);
}

// Whether the ranks are threads of this process: on a GPU, unless a launcher started processes.
// The one process that train_there starts for them is no rank among others.
bool is_all_ranks(const train_options& options, const std::optional<rank_identity>& identity,
                  bool started_here) {
  return options.training.device == compute_device::cuda &&
         (!identity || (started_here && identity->who.size == 1));
}

// This process is a rank, or all of them. Results go to the starter if it listens, else to the
// user.
int train_here(const train_options& options, const std::optional<rank_identity>& identity,
               std::optional<result_channel>& starter) {
  const bool on_device = options.training.device == compute_device::cuda;
  const auto run = [&](const result_sink& sink) {
    if (is_all_ranks(options, identity, starter.has_value())) {
      run_device_ranks(options, options.ranks.value_or(1), sink);
    } else if (on_device) {
      run_training_rank(options, join_on_device(*identity), sink);
    } else {
      run_training_rank(options, {nullptr, nullptr, join(identity)}, sink);
    }
  };
  if (starter) {
    run([&starter](const json& line) { starter->send(line); });
    return 0;
  }
  if (identity && identity->who.rank != 0) {
    run([](const json&) {});
    return 0;
  }
  run_listener listener(options, identity ? identity->who.size : options.ranks.value_or(1));
  run([&listener](const json& line) { listener.take(line); });
  return 0;
}

// This process starts the ranks, and is none. On a GPU they are threads of one process.
int train_there(const train_options& options, int ranks) {
  run_listener listener(options, ranks);
  train_options of_rank = options;
  const bool on_device = options.training.device == compute_device::cuda;
  if (!on_device) of_rank.ranks.reset();
  of_rank.json_file.clear();  // written here
  arguments given = train_option_set(of_rank).to_arguments();
  given.insert(given.begin(), "train");
  signal_watch signals;
  const training_outcome outcome = run_training_processes(
      this_program(), given, on_device ? 1 : ranks,
      [&listener](const json& line) { listener.take(line); }, signals);
  listener.stop_progress();
  if (outcome.exit_code != 0) say(fmt::format("zero train: {}\n", outcome.message));
  return outcome.exit_code;
}

int train(const arguments& given, std::optional<result_channel>& starter) {
  train_options options;
  option_set set = train_option_set(options);
  if (asks_for_help(given)) {
    fmt::print("{}", set.help());
    return 0;
  }
  set.parse(given);
  require_device(options.training);
  const std::optional<rank_identity> identity = rank_from_environment();
  const bool all_ranks = is_all_ranks(options, identity, starter.has_value());
  if (!all_ranks && identity && options.ranks && *options.ranks != identity->who.size) {
    throw invalid_argument(fmt::format("--ranks {} disagrees with {}, which say {}", *options.ranks,
                                       identity->source, identity->who.size));
  }
  const int ranks = identity && !all_ranks ? identity->who.size : options.ranks.value_or(1);
  if (identity) require_reachable_peers(*identity);
  check(options, ranks);
  check_memory_budget(options, ranks);
  if (!identity && ranks > 1) return train_there(options, ranks);
  return train_here(options, identity, starter);
}

// To the starter, which prints one line for all its ranks.
int tell(result_channel& starter, error_class kind, const char* message, int rank = -1) {
  starter.send(error_line(static_cast<int>(kind), message, rank));
  return static_cast<int>(kind);
}

}  // namespace

int run_train(const arguments& given) {
  std::optional<result_channel> starter = result_channel::from_environment();
  if (!starter) return train(given, starter);
  try {
    return train(given, starter);
  } catch (const rank_error& e) {
    return tell(*starter, e.kind(), e.what(), e.rank);
  } catch (const error& e) {
    return tell(*starter, e.kind(), e.what());
  } catch (const std::bad_alloc&) {
    return tell(*starter, error_class::resource, "out of memory");
  } catch (const std::exception& e) {
    return tell(*starter, error_class::failure, e.what());
  }
}

}  // namespace zero::cli
