#include "ranks/rank_variables.hpp"

#include "ranks/restarts.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>

namespace zero::cli {

namespace {

constexpr const char* thread_variables[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"};

int cores_of(pid_t process) noexcept {
  cpu_set_t cores;
  if (sched_getaffinity(process, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

int usable_cores() noexcept { return cores_of(0); }

int threads_of_started_rank(int here) {
  for (const char* threads : thread_variables) {
    if (std::getenv(threads) != nullptr) return 0;
  }
  // A launcher may bind its ranks to a core each; how many there are to share, it knows itself.
  return std::max(1, std::min(usable_cores(), cores_of(getppid()) / std::max(1, here)));
}

std::vector<std::string> environment_of_rank(int rank, int size, int restart,
                                             rank_descriptors handed_down) {
  std::map<std::string, std::string> ours{
      {"RANK", fmt::to_string(rank)},
      {"WORLD_SIZE", fmt::to_string(size)},
      {"LOCAL_RANK", fmt::to_string(rank)},
      {"LOCAL_WORLD_SIZE", fmt::to_string(size)},
      {restart_variable, fmt::to_string(restart)},
      {"ZERO_ARENA_FD", fmt::to_string(handed_down.arena)},
  };
  // Empty here: taken out of what is inherited.
  ours["ZERO_RESULT_FD"] = handed_down.results < 0 ? "" : fmt::to_string(handed_down.results);
  for (const char* threads : thread_variables) {
    if (std::getenv(threads) == nullptr) {
      ours[threads] = fmt::to_string(std::max(1, usable_cores() / size));
    }
  }
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string inherited = *entry;
    if (ours.count(inherited.substr(0, inherited.find('='))) == 0) result.push_back(inherited);
  }
  for (const auto& [name, value] : ours) {
    if (!value.empty()) result.push_back(name + "=" + value);
  }
  return result;
}

}  // namespace zero::cli
