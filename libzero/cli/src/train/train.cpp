// zero train: the reference trainer, on ranks of its own or of whoever started it.

#include "ranks/rank_environment.hpp"
#include "ranks/rank_variables.hpp"
#include "ranks/restarts.hpp"
#include "ranks/result_channel.hpp"
#include "ranks/run_listener.hpp"
#include "say.hpp"
#include "subcommands.hpp"
#include "train/config_file.hpp"
#include "train/device_ranks.hpp"
#include "train/sharding_choice.hpp"
#include "train/tier_choice.hpp"
#include "train/train_checkpoints.hpp"
#include "train/train_rank.hpp"
#include "train/training_processes.hpp"
#include "trainer/blas.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/mpi.hpp>
#include <zero/collectives/shared_memory.hpp>
#include <zero/collectives/single.hpp>

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <new>
#include <thread>

namespace zero::cli {
namespace {

// The ranks of mpirun, srun and their kin.
std::unique_ptr<collectives::communicator> join_by_mpi(const rank_identity& identity) {
  auto ranks = collectives::make_mpi();
  if (ranks->size() != identity.who.size || ranks->rank() != identity.who.rank) {
    throw invalid_argument(fmt::format(
        "{} say rank {} of {}, but for MPI this is rank {} of {}; start the ranks by the launcher "
        "of {}",
        identity.source, identity.who.rank, identity.who.size, ranks->rank(), ranks->size(),
        collectives::mpi_version()));
  }
  int here = 0;
  for (int r = 0; r < ranks->size(); ++r) {
    here += ranks->host_of(r) == ranks->host_of(ranks->rank()) ? 1 : 0;
  }
  if (const int threads = threads_of_started_rank(here)) trainer::set_blas_threads(threads);
  return ranks;
}

std::unique_ptr<collectives::communicator> join(const std::optional<rank_identity>& identity) {
  if (!identity || identity->who.size == 1) return collectives::make_single();
  if (identity->arena < 0) return join_by_mpi(*identity);
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
  std::optional<rank_place> place;  // nothing: all ranks are here
  if (!is_all_ranks(options, identity, starter.has_value())) {
    place.emplace();
    place->ranks = join(identity);
    if (options.training.device == compute_device::cuda) {
      place = move_to_device(*identity, std::move(*place));
    }
  }
  const auto run = [&](const result_sink& sink) {
    if (place) {
      run_training_rank(options, std::move(*place), sink);
    } else {
      run_device_ranks(options, options.ranks.value_or(1), sink);
    }
  };
  if (starter) {
    run([&starter](const json& line) { starter->send(line); });
    return 0;
  }
  if (place && place->ranks->rank() != 0) {
    run([](const json&) {});
    return 0;
  }
  run_listener listener(options, place ? place->ranks->size() : options.ranks.value_or(1));
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
  of_rank.checkpoints.restarts = 0;
  signal_watch signals;
  const auto live = [&](int restart) {
    // A later life goes on from where the earlier ones came to.
    if (restart > 0) of_rank.checkpoints.resume = !of_rank.checkpoints.directory.empty();
    arguments given = train_option_set(of_rank).to_arguments();
    given.insert(given.begin(), "train");
    const training_outcome outcome = run_training_processes(
        {this_program(), given, on_device ? 1 : ranks, restart, deadline_of(options.training)},
        [&listener](const json& line) { listener.take(line); }, signals);
    listener.stop_progress();
    return life{outcome.exit_code, outcome.message, outcome.interrupted, listener.has_run(),
                outcome.all_ended};
  };
  const life last = run_lives("zero train", options.checkpoints.restarts, signals, live);
  if (last.exit_code != 0) {
    say(fmt::format("zero train: {}\n", last.why));
    // A disk that holds up ranks so that they cannot end would hold up this process as well.
    if (last.all_ended && !options.checkpoints.directory.empty()) {
      clear_unfinished(options.checkpoints.directory);
    }
  }
  return last.exit_code;
}

// Only who starts ranks can start them again; whoever was started again goes on.
void settle_restarts(train_options& options, bool is_started) {
  checkpoint_options& o = options.checkpoints;
  if (is_started && o.restarts > 0) {
    throw invalid_argument(fmt::format(
        "--max-restarts {} is for ranks that zero train starts itself; give it to their launcher",
        o.restarts));
  }
  if (!o.directory.empty() && restart_from_environment() > 0) o.resume = true;
}

// Of what does not go together, some may have been said by the configuration.
void check_all(const train_options& options, int ranks, const std::string& config) {
  try {
    check(options, ranks);
  } catch (const invalid_argument& e) {
    if (config.empty()) throw;
    throw invalid_argument(fmt::format("{} (--config '{}' counts too)", e.what(), config));
  }
}

int train_as(const arguments& given, const std::optional<rank_identity>& identity,
             std::optional<result_channel>& starter) {
  train_options options;
  option_set set = train_option_set(options);
  if (asks_for_help(given)) {
    if (!identity || identity->who.rank == 0) fmt::print("{}", set.help());
    return 0;
  }
  set.parse(given);
  const std::string config = options.config;
  if (!config.empty()) {
    // What it says comes first, so that what is given counts.
    const int world = identity ? identity->who.size : options.ranks.value_or(1);
    options = read_config(config, world);
    set.parse(given);
    options.config.clear();
  }
  settle_restarts(options, identity.has_value());
  require_device(options.training);
  const bool all_ranks = is_all_ranks(options, identity, starter.has_value());
  if (!all_ranks && identity && options.ranks && *options.ranks != identity->who.size) {
    throw invalid_argument(fmt::format("--ranks {} disagrees with {}, which say {}", *options.ranks,
                                       identity->source, identity->who.size));
  }
  const int ranks = identity && !all_ranks ? identity->who.size : options.ranks.value_or(1);
  if (identity) require_reachable_peers(*identity, collectives::mpi_compiled());
  std::optional<int>& group = options.training.shard_group;
  group = chosen_group(options.stage, group, ranks, all_ranks ? std::nullopt : identity);
  check_all(options, ranks, config);
  const std::string chosen = settle_tiers(options, ranks);
  if (!identity) check_swap_space(options, ranks);
  const bool speaks = !starter && (!identity || identity->who.rank == 0);
  if (speaks && !chosen.empty()) say(fmt::format("zero train: {}\n", chosen));
  // Ranks that may fall while something of theirs is unfinished are watched by a process that is
  // none.
  const bool watched = ranks > 1 || !options.checkpoints.directory.empty();
  if (!identity && (watched || options.checkpoints.restarts > 0))
    return train_there(options, ranks);
  return train_here(options, identity, starter);
}

// A rank that another launcher started: nobody collects what its ranks say, so each says whose
// words they are, and of what is wrong with the input, the same for all, rank 0 speaks alone.
int train_started(const arguments& given, const rank_identity& identity,
                  std::optional<result_channel>& starter) {
  const int rank = identity.who.rank;
  try {
    return train_as(given, identity, starter);
  } catch (const invalid_argument& e) {
    if (rank == 0) throw;
    // Launchers end all ranks with the first that fails: let it be the one that speaks.
    std::this_thread::sleep_for(std::chrono::seconds(1));
    return static_cast<int>(e.kind());
  } catch (const error& e) {
    throw error(fmt::format("rank {}: {}", rank, e.what()), e.kind());
  }
}

int train(const arguments& given, std::optional<result_channel>& starter) {
  const std::optional<rank_identity> identity = rank_from_environment();
  const bool is_started = identity && identity->arena < 0 && identity->who.size > 1;
  return is_started ? train_started(given, *identity, starter) : train_as(given, identity, starter);
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
