#include "swap_directory.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

namespace zero::offload {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw invalid_argument("[offload.swap_file] directory '" + path + "' " + why);
}

// "link/" and "link/." name what a link leads to, "link" the link itself.
std::string without_trailing_slashes(std::string path) {
  for (;;) {
    if (path.size() > 1 && path.back() == '/') {
      path.pop_back();
    } else if (path.size() > 2 && path.compare(path.size() - 2, 2, "/.") == 0) {
      path.resize(path.size() - 1);
    } else {
      return path;
    }
  }
}

void check_owner(const std::string& path, const struct stat& found) {
  const bool sticky = (found.st_mode & S_ISVTX) != 0;
  const bool own = found.st_uid == geteuid();
  if (!own && !(sticky && found.st_uid == 0)) {
    refuse(path, "belongs to user " + std::to_string(found.st_uid) + ", and this is user " +
                     std::to_string(geteuid()) + ": make one of your own in it");
  }
  if (!sticky && (found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    refuse(path, "is writable by others: chmod go-w, or make one of your own in it");
  }
}

std::string random_name() {
  std::uint64_t number[2] = {};
  if (getrandom(number, sizeof(number), 0) != static_cast<ssize_t>(sizeof(number))) {
    throw io_error("[offload.swap_file] drawing", "a random name", errno, 0, error_class::resource);
  }
  return ".zero-" + std::to_string(number[0]) + std::to_string(number[1]);
}

}  // namespace

std::string default_swap_directory() {
  const char* const chosen = std::getenv("TMPDIR");
  if (chosen != nullptr && *chosen != '\0') return chosen;
  std::error_code absent;
  return std::filesystem::is_directory("/var/tmp", absent) ? "/var/tmp" : "/tmp";
}

descriptor open_swap_directory(const std::string& given) {
  if (given.empty()) refuse(given, "has no name");
  const std::string path = without_trailing_slashes(given);
  struct stat found {};
  // O_PATH with O_NOFOLLOW opens a link itself, so that a link can be told from another thing.
  descriptor place(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!place && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO)) {
    throw io_error("[offload.swap_file] looking at", given, errno, 0, error_class::resource);
  }
  if (!place) refuse(given, std::string("cannot be had: ") + std::strerror(errno));
  if (fstat(place.number(), &found) != 0) {
    throw io_error("[offload.swap_file] looking at", given, errno, 0, error_class::resource);
  }
  if (S_ISLNK(found.st_mode)) refuse(given, "is a symbolic link: name what it leads to");
  if (!S_ISDIR(found.st_mode)) refuse(given, "is no directory");
  check_owner(given, found);
  return place;
}

descriptor make_nameless_file(const descriptor& directory, const std::string& path,
                              swap_naming naming) {
  constexpr int flags = O_RDWR | O_CLOEXEC;
  constexpr mode_t own = S_IRUSR | S_IWUSR;
  int number = -1;
  if (naming == swap_naming::automatic) {
    // O_EXCL: nor can it ever be given a name.
    number = openat(directory.number(), ".", flags | O_TMPFILE | O_EXCL, own);
  }
  const bool unknown = naming == swap_naming::unlinked ||
                       (number < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL ||
                                       errno == ENOENT || errno == ENOTSUP));
  if (unknown) {
    const std::string name = random_name();
    number = openat(directory.number(), name.c_str(), flags | O_CREAT | O_EXCL | O_NOFOLLOW, own);
    if (number >= 0 && unlinkat(directory.number(), name.c_str(), 0) != 0) {
      const int why = errno;
      close(number);
      throw io_error("[offload.swap_file] taking its name away from", path + "/" + name, why, 0,
                     error_class::resource);
    }
  }
  if (number < 0 && (errno == EACCES || errno == EROFS || errno == EPERM || errno == ENOENT)) {
    refuse(path, std::string("cannot be written to: ") + std::strerror(errno));
  }
  if (number < 0) {
    throw io_error("[offload.swap_file] making a file in", path, errno, 0, error_class::resource);
  }
  return descriptor(number);
}

}  // namespace zero::offload
