#pragma once
// Where tests of the engine swap: memory where there is such a directory, since they make disks by
// the hundred and what a disk does is tested in tests/offload.

#include <sys/stat.h>

#include <cstdlib>
#include <string>

namespace zero::testing {

inline std::string tier_scratch() {
  const char* given = std::getenv("TMPDIR");
  struct stat found {};
  const bool shared = stat("/dev/shm", &found) == 0 && S_ISDIR(found.st_mode) != 0;
  return given != nullptr ? given : shared ? "/dev/shm" : "/tmp";
}

}  // namespace zero::testing
