#include "directory_path.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace zero::checkpoint {
namespace {

constexpr mode_t own_directory = S_IRWXU;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw invalid_argument("checkpoint directory '" + path + "' " + why);
}

void sync_above(const std::string& path) {
  const std::size_t last = path.find_last_not_of('/');
  const std::size_t slash = path.rfind('/', last);
  const std::string above =
      slash == std::string::npos ? "." : path.substr(0, slash == 0 ? 1 : slash);
  const descriptor held(open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!held) throw io_error("open", above, errno);
  if (fsync(held.number()) != 0) throw io_error("fsync", above, errno);
}

}  // namespace

void make_path(const std::string& directory) {
  for (std::size_t end = 0; end < directory.size();) {
    const std::size_t begin = directory.find_first_not_of('/', end);
    if (begin == std::string::npos) return;
    end = std::min(directory.find('/', begin), directory.size());
    const std::string part = directory.substr(0, end);
    if (mkdir(part.c_str(), own_directory) == 0) {
      if (chmod(part.c_str(), own_directory) != 0) throw io_error("chmod", part, errno);
      sync_above(part);
    } else if (errno != EEXIST) {
      throw io_error("mkdir", part, errno);
    }
  }
}

descriptor open_path(const std::string& directory) {
  if (directory.empty()) refuse(directory, "has no name");
  descriptor held(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!held && errno == ENOTDIR) refuse(directory, "is no directory");
  if (!held) throw io_error("open", directory, errno);
  struct stat found {};
  if (fstat(held.number(), &found) != 0) throw io_error("stat", directory, errno);
  if ((found.st_mode & S_IWOTH) != 0) {
    refuse(directory, "is writable by everybody: chmod o-w, or make one of your own in it");
  }
  return held;
}

}  // namespace zero::checkpoint
