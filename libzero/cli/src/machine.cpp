#include "machine.hpp"

#include "ranks/rank_variables.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

#ifdef __clang__
constexpr const char* compiler = "clang " __clang_version__;
#else
constexpr const char* compiler = "g++ " __VERSION__;
#endif

// The value of the first line "model name : ..." of /proc/cpuinfo.
json processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const std::size_t value = line.find_first_not_of(" \t", line.find(':') + 1);
    if (value != std::string::npos) return line.substr(value);
  }
  return nullptr;
}

json kernel() {
  utsname system{};
  if (uname(&system) != 0) return nullptr;
  return fmt::format("{} {} {}", system.sysname, system.release, system.machine);
}

// The word in brackets of "always [madvise] never".
json huge_pages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  std::getline(file, line);
  const std::size_t begin = line.find('[');
  const std::size_t end = line.find(']');
  if (begin == std::string::npos || end == std::string::npos) return nullptr;
  return line.substr(begin + 1, end - begin - 1);
}

}  // namespace

json describe_machine() {
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const auto pages = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES));
  return {{"cpu", processor()},
          {"logical_cores", usable_cores()},
          {"memory_bytes", pages * page},
          {"kernel", kernel()},
          {"compiler", compiler},
          {"page_bytes", page},
          {"transparent_huge_pages", huge_pages()}};
}

}  // namespace zero::cli
