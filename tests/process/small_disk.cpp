#include "process/small_disk.hpp"

#include "cli/ran.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace zero::test {
namespace fs = std::filesystem;

namespace {

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

struct statvfs state_of(const std::string& path) {
  struct statvfs state {};
  if (statvfs(path.c_str(), &state) != 0) state = {};
  return state;
}

}  // namespace

std::string own_mounts() {
  static const std::string why = [] {
    if (unshare(CLONE_NEWNS) != 0) return failed("this process cannot have mounts of its own");
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return failed("mounts cannot be made private");
    }
    return std::string();
  }();
  return why;
}

small_disk::small_disk(const std::string& folder, int megabytes)
    : path_(folder + "/disk"), why_(own_mounts()) {
  if (!why_.empty()) return;
  const std::string image = folder + "/disk image";
  fs::create_directory(path_);
  std::ofstream(image).close();
  fs::resize_file(image, static_cast<std::uintmax_t>(megabytes) << 20U);
  for (const auto& command : {std::vector<std::string>{"mkfs.ext4", "-q", "-m", "0", image},
                              {"mount", "-o", "loop", image, path_}}) {
    const ran r = run(command);
    if (r.exit_code != 0) {
      why_ = command.front() + " ended with " + std::to_string(r.exit_code) + ": " + r.errors;
      return;
    }
  }
  fs::remove(path_ + "/lost+found");
  fs::permissions(path_, fs::perms::owner_all);
}

small_disk::~small_disk() { umount2(path_.c_str(), MNT_DETACH); }

std::uint64_t small_disk::free_bytes() const {
  const struct statvfs state = state_of(path_);
  return static_cast<std::uint64_t>(state.f_bfree) * state.f_frsize;
}

std::uint64_t small_disk::free_files() const { return state_of(path_).f_ffree; }

}  // namespace zero::test
