#include <zero/base/error.hpp>
#include <zero/collectives/launched.hpp>

#include <array>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <utility>

namespace zero::collectives {
namespace {

// The names one launcher uses. The local ones may be absent, in the environment or altogether.
struct launcher {
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
  bool of_mpi;
};

constexpr launcher of_torchrun{"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", false};
constexpr launcher of_open_mpi{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                               "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", true};
constexpr launcher of_pmi{"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", true};

// What makes a run's name, where nobody gave it one.
constexpr std::array run_variables{"MASTER_ADDR",
                                   "MASTER_PORT",
                                   "TORCHELASTIC_RUN_ID",
                                   "TORCHELASTIC_RESTART_COUNT",
                                   "OMPI_MCA_ess_base_jobid",
                                   "PMIX_NAMESPACE",
                                   "SLURM_JOB_ID",
                                   "SLURM_STEP_ID"};

// What one launcher says; a variable that is not there has no value.
struct stated {
  launcher names;
  int rank = 0;
  int size = 1;
  std::optional<int> local_rank;
  std::optional<int> local_size;
};

[[noreturn]] void refuse_value(const std::string& name, const std::string& text, int lowest) {
  throw invalid_argument("environment variable " + name + ": '" + text +
                         "' is not accepted; expected a whole number from " +
                         std::to_string(lowest));
}

std::optional<int> whole(const std::string& text, int lowest) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (text.empty() || failure != std::errc{} || stop != end || value < lowest) return std::nullopt;
  return value;
}

std::optional<int> number(const variables& environment, const char* name, int lowest) {
  if (name == nullptr) return std::nullopt;
  const std::optional<std::string> text = environment(name);
  if (!text) return std::nullopt;
  const std::optional<int> value = whole(*text, lowest);
  if (!value) refuse_value(name, *text, lowest);
  return value;
}

std::optional<stated> read(const variables& environment, const launcher& names) {
  const std::optional<int> rank = number(environment, names.rank, 0);
  const std::optional<int> size = number(environment, names.size, 1);
  if (!rank && !size) return std::nullopt;
  if (!rank || !size) {
    throw invalid_argument("environment variable " + std::string(rank ? names.rank : names.size) +
                           " is set but " + (rank ? names.size : names.rank) + " is not");
  }
  if (*rank >= *size) {
    throw invalid_argument("environment variable " + std::string(names.rank) + " is " +
                           std::to_string(*rank) + ", but " + names.size + " is only " +
                           std::to_string(*size));
  }
  return stated{names, *rank, *size, number(environment, names.local_rank, 0),
                number(environment, names.local_size, 1)};
}

// "4(x2),3": 4 tasks on nodes 0 and 1, 3 on node 2.
std::optional<int> tasks_of_node(const std::string& list, int node) {
  std::size_t at = 0;
  while (at < list.size()) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    std::string entry = list.substr(at, end - at);
    int nodes = 1;
    if (const std::size_t times = entry.find("(x"); times != std::string::npos) {
      if (entry.back() != ')') return std::nullopt;
      const auto repeated = whole(entry.substr(times + 2, entry.size() - times - 3), 1);
      if (!repeated) return std::nullopt;
      nodes = *repeated;
      entry.resize(times);
    }
    const std::optional<int> tasks = whole(entry, 1);
    if (!tasks || node < nodes) return tasks;
    node -= nodes;
    at = end + 1;
  }
  return std::nullopt;
}

// A task of a step of several tasks, or nothing. See the head of the header.
std::optional<stated> read_slurm(const variables& environment) {
  if (!environment("SLURM_PROCID")) return std::nullopt;
  const bool in_step = environment("SLURM_STEP_NUM_TASKS").has_value();
  if (!in_step && number(environment, "SLURM_PROCID", 0) == 0) return std::nullopt;
  const char* const size = in_step ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  auto task = read(environment, {"SLURM_PROCID", size, "SLURM_LOCALID", nullptr, false});
  if (!task || task->size < 2) return std::nullopt;
  constexpr const char* per_node = "SLURM_STEP_TASKS_PER_NODE";
  if (const auto list = environment(per_node)) {
    task->names.local_size = per_node;
    task->local_size = tasks_of_node(*list, number(environment, "SLURM_NODEID", 0).value_or(0));
    if (!task->local_size) {
      throw invalid_argument("environment variable " + std::string(per_node) + ": '" + *list +
                             "' says nothing of this node");
    }
  }
  return task;
}

// Two that disagree are refused, by both names; what only one of them says is kept.
void agree(const char* name, int& value, const char* other_name, int other) {
  if (value == other) return;
  throw invalid_argument("the environment names two different ranks: " + std::string(name) +
                         " is " + std::to_string(value) + " but " + other_name + " is " +
                         std::to_string(other) + "; unset what is not meant");
}

void agree(const char*& name, std::optional<int>& value, const char* other_name,
           const std::optional<int>& other) {
  if (!other) return;
  if (!value) {
    value = other;
    name = other_name;
    return;
  }
  agree(name, *value, other_name, *other);
}

std::string run_from(const variables& environment) {
  if (const auto given = environment("ZERO_MEETING"); given && !given->empty()) return *given;
  std::string name;
  for (const char* const part : run_variables) {
    const auto value = environment(part);
    if (!value || value->empty()) continue;
    name += (name.empty() ? "" : ", ") + std::string(part) + " " + *value;
  }
  return name;
}

}  // namespace

std::optional<std::string> process_variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::optional<rank_identity> rank_from_environment(const variables& environment) {
  std::optional<stated> first;
  bool by_mpi = false;
  const auto take = [&](const std::optional<stated>& other) {
    if (!other) return;
    by_mpi = by_mpi || other->names.of_mpi;
    if (!first) {
      first = other;
      return;
    }
    agree(first->names.rank, first->rank, other->names.rank, other->rank);
    agree(first->names.size, first->size, other->names.size, other->size);
    agree(first->names.local_rank, first->local_rank, other->names.local_rank, other->local_rank);
    agree(first->names.local_size, first->local_size, other->names.local_size, other->local_size);
  };
  take(read(environment, of_torchrun));
  take(read(environment, of_open_mpi));
  take(read(environment, of_pmi));
  take(read_slurm(environment));
  if (!first) return std::nullopt;

  rank_identity found;
  found.who = {first->rank, first->size};
  found.local_rank = first->local_rank.value_or(first->rank);
  found.ranks_of_host = first->local_size;
  found.local_size = first->local_size.value_or(first->size);
  found.arena = number(environment, "ZERO_ARENA_FD", 0).value_or(-1);
  found.source = std::string(first->names.rank) + " and " + first->names.size;
  found.run = run_from(environment);
  found.by_mpi = by_mpi || environment("PMIX_RANK").has_value();
  return found;
}

}  // namespace zero::collectives
