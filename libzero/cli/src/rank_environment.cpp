#include "rank_environment.hpp"

#include "option_set.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <vector>

namespace zero::cli {
namespace {

// The names one launcher uses. The local ones may be absent, in the environment or altogether.
struct launcher {
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};

constexpr std::array<launcher, 3> launchers{{
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"PMI_RANK", "PMI_SIZE", nullptr, nullptr},
}};

std::optional<int> number(const variables& environment, const char* name, int lowest) {
  if (name == nullptr) return std::nullopt;
  const std::optional<std::string> text = environment(name);
  if (!text) return std::nullopt;
  try {
    return static_cast<int>(parse_whole(*text, {static_cast<std::uint64_t>(lowest)}));
  } catch (const invalid_argument& e) {
    throw invalid_argument(fmt::format("environment variable {}: {}", name, e.what()));
  }
}

std::optional<rank_identity> read(const variables& environment, const launcher& names) {
  const std::optional<int> rank = number(environment, names.rank, 0);
  const std::optional<int> size = number(environment, names.size, 1);
  if (!rank && !size) return std::nullopt;
  if (!rank || !size) {
    throw invalid_argument(fmt::format("environment variable {} is set but {} is not",
                                       rank ? names.rank : names.size,
                                       rank ? names.size : names.rank));
  }
  if (*rank >= *size) {
    throw invalid_argument(fmt::format("environment variable {} is {}, but {} is only {}",
                                       names.rank, *rank, names.size, *size));
  }
  rank_identity result;
  result.who = {*rank, *size};
  result.local_rank = number(environment, names.local_rank, 0).value_or(*rank);
  result.ranks_of_host = number(environment, names.local_size, 1);
  result.local_size = result.ranks_of_host.value_or(*size);
  result.source = fmt::format("{} and {}", names.rank, names.size);
  return result;
}

// A task of a step of several tasks, or nothing. See the head of the header.
std::optional<rank_identity> read_slurm(const variables& environment) {
  if (!environment("SLURM_PROCID")) return std::nullopt;
  const bool in_step = environment("SLURM_STEP_NUM_TASKS").has_value();
  if (!in_step && number(environment, "SLURM_PROCID", 0) == 0) return std::nullopt;
  const char* size = in_step ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  const auto task = read(environment, {"SLURM_PROCID", size, "SLURM_LOCALID", nullptr});
  return task && task->who.size > 1 ? task : std::nullopt;
}

std::string describe(const rank_identity& identity) {
  return fmt::format("{} (rank {} of {})", identity.source, identity.who.rank, identity.who.size);
}

}  // namespace

std::optional<std::string> process_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::optional<rank_identity> rank_from_environment(const variables& environment) {
  std::optional<rank_identity> result;
  const auto agree_on = [&result](std::optional<rank_identity> other) {
    if (!other) return;
    if (!result) {
      result = std::move(other);
    } else if (result->who.rank != other->who.rank || result->who.size != other->who.size) {
      throw invalid_argument(fmt::format(
          "the environment names two different ranks: {} and {}; unset the one that is not meant",
          describe(*result), describe(*other)));
    }
  };
  for (const launcher& names : launchers) agree_on(read(environment, names));
  agree_on(read_slurm(environment));
  if (result) result->arena = number(environment, "ZERO_ARENA_FD", 0).value_or(-1);
  return result;
}

void require_reachable_peers(const rank_identity& identity, bool with_mpi) {
  if (identity.who.size == 1 || identity.arena >= 0 || with_mpi) return;
  throw invalid_argument(fmt::format(
      "{} come from another launcher than zero's; such ranks need the MPI backend, which this "
      "build does not have: use --ranks {} or zero launch -n {}",
      describe(identity), identity.who.size, identity.who.size));
}

void require_no_launcher(const std::string& command, const variables& environment) {
  const std::optional<rank_identity> identity = rank_from_environment(environment);
  if (!identity) return;
  throw invalid_argument(
      fmt::format("zero {} starts its own ranks and cannot run inside another launcher: {} is set",
                  command, describe(*identity)));
}

}  // namespace zero::cli
