#include "rank_variables.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>

namespace zero::cli {

int usable_cores() noexcept {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

std::vector<std::string> environment_of_rank(int rank, int size, rank_descriptors handed_down) {
  std::map<std::string, std::string> ours{
      {"RANK", fmt::to_string(rank)},
      {"WORLD_SIZE", fmt::to_string(size)},
      {"LOCAL_RANK", fmt::to_string(rank)},
      {"LOCAL_WORLD_SIZE", fmt::to_string(size)},
      {"ZERO_ARENA_FD", fmt::to_string(handed_down.arena)},
  };
  // Empty here: taken out of what is inherited.
  ours["ZERO_RESULT_FD"] = handed_down.results < 0 ? "" : fmt::to_string(handed_down.results);
  for (const char* threads : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}) {
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
