#include "output_folder.hpp"

#include <zero/base/descriptor.hpp>
#include <zero/base/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace zero::cli {
namespace {

namespace fs = std::filesystem;

void write_all(int number, const std::string& text, const std::string& path) {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(number, text.data() + written, text.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("write", path, errno, written);
    written += static_cast<std::size_t>(count);
  }
  if (fsync(number) != 0) throw io_error("fsync", path, errno);
}

}  // namespace

void check_writable(const std::string& folder) {
  const auto refuse = [&folder](const std::string& why) {
    throw invalid_argument(fmt::format("'{}' cannot be written to: {}", folder, why));
  };
  std::error_code failure;
  fs::path existing = fs::absolute(folder, failure).lexically_normal();
  while (!fs::exists(fs::symlink_status(existing, failure)) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  if (!fs::is_directory(existing, failure)) {
    refuse(fmt::format("{} is not a folder", existing.string()));
  }
  if (access(existing.c_str(), W_OK | X_OK) != 0) {
    refuse(fmt::format("{}: {}", existing.string(), std::strerror(errno)));
  }
}

void check_writable_file(const std::string& path, writing mode) {
  const auto refuse = [&path](const char* why) {
    throw invalid_argument(fmt::format("'{}' cannot be written: {}", path, why));
  };
  std::error_code failure;
  const fs::file_status status = fs::symlink_status(path, failure);
  if (mode == writing::replace && fs::exists(status) && !fs::is_regular_file(status) &&
      !fs::is_directory(status)) {
    refuse("it is no regular file, and would be replaced by one");
  }
  if (fs::is_directory(path, failure)) refuse(std::strerror(EISDIR));
  const bool exists = fs::exists(path, failure);
  const fs::path folder = fs::path(path).parent_path();
  const std::string asked = exists ? path : folder.empty() ? "." : folder.string();
  if (access(asked.c_str(), exists ? W_OK : W_OK | X_OK) != 0) refuse(std::strerror(errno));
}

void write_whole(const std::string& folder, const std::string& name, const std::string& text) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw io_error("mkdir", folder, failure.value());
  const std::string path = folder + "/" + name;
  std::string beside = folder + "/." + name + ".XXXXXX";
  const descriptor file(mkostemp(beside.data(), O_CLOEXEC));
  if (!file) throw io_error("open", path, errno);
  try {
    write_all(file.number(), text, path);
    const mode_t mask = umask(0);
    umask(mask);
    fchmod(file.number(), 0666 & ~mask);  // as if the user had made it
    if (std::rename(beside.c_str(), path.c_str()) != 0) throw io_error("rename", path, errno);
  } catch (...) {
    unlink(beside.c_str());
    throw;
  }
}

}  // namespace zero::cli
