#include "memory_limit.hpp"

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

namespace zero::offload {
namespace {

// How a version of control groups calls things.
struct naming {
  const char* folder;  // of the groups
  const char* limit;
  const char* used;
  const char* stale_files;  // in memory.stat
  const char* fresh_files;
};
constexpr naming version_2{"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file",
                           "active_file"};
constexpr naming version_1{"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                           "memory.usage_in_bytes", "total_inactive_file", "total_active_file"};

std::optional<std::uint64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  if (!(file >> number)) return std::nullopt;  // there is none, or it says "max"
  return number;
}

std::uint64_t bytes_of_files(const std::string& path, const naming& names) {
  std::ifstream file(path);
  std::string key;
  std::uint64_t value = 0, sum = 0;
  while (file >> key >> value) {
    if (key == names.stale_files || key == names.fresh_files) sum += value;
  }
  return sum;
}

void consider(const std::string& group, const std::string& at, const naming& names,
              memory_limit& tightest) {
  const auto limit = number_in(at + "/" + names.limit);
  if (!limit) return;
  const std::uint64_t used = number_in(at + "/" + names.used).value_or(0);
  const std::uint64_t kept = used - std::min(used, bytes_of_files(at + "/memory.stat", names));
  const std::uint64_t left = *limit - std::min(*limit, kept);
  if (left < tightest.left) tightest = {left, group};
}

// The group at `path` and all above it.
void walk_up(const std::string& root, std::string path, const naming& names,
             memory_limit& tightest) {
  for (;;) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    consider(path.empty() ? "/" : path, root + names.folder + path, names, tightest);
    if (path.empty()) return;
    path.erase(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
  }
}

bool has_word(const std::string& list, const std::string& word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

}  // namespace

memory_limit limit_of_groups(const std::string& root) {
  memory_limit tightest;
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {  // "number:controllers:path"
    std::istringstream parts(line);
    std::string number, controllers, path;
    if (!std::getline(parts, number, ':') || !std::getline(parts, controllers, ':')) continue;
    std::getline(parts, path);
    if (controllers.empty()) walk_up(root, path, version_2, tightest);
    if (has_word(controllers, "memory")) walk_up(root, path, version_1, tightest);
  }
  return tightest;
}

}  // namespace zero::offload
