#include "trainer/file.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace zero::trainer {

file::file(int descriptor, std::string path, std::uint64_t size) noexcept
    : descriptor_(descriptor), path_(std::move(path)), size_(size) {}

file::file(file&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      size_(other.size_) {}

file::~file() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

file file::open(const std::string& path) {
  // Not to wait for a writer if it is a pipe; regular files do not care.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) throw io_error("open", path, errno);
  file opened(descriptor, path, 0);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) throw io_error("stat", path, errno);
  if (S_ISDIR(status.st_mode)) throw io_error("open", path, EISDIR);
  if (!S_ISREG(status.st_mode)) {
    throw invalid_argument("'" + path + "' is not a regular file");
  }
  opened.size_ = static_cast<std::uint64_t>(status.st_size);
  return opened;
}

file file::create(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) throw io_error("create", path, errno);
  return {descriptor, path, 0};
}

void file::read(void* bytes, std::size_t count, std::uint64_t offset) const {
  auto* out = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t taken = ::pread(descriptor_, out, count, static_cast<off_t>(offset));
    if (taken < 0 && errno == EINTR) continue;
    if (taken < 0) throw io_error("read", path_, errno, offset);
    if (taken == 0) {
      throw corrupt_data("the file ends " + std::to_string(count) + " bytes too soon", path_,
                         offset);
    }
    out += taken;
    offset += static_cast<std::uint64_t>(taken);
    count -= static_cast<std::size_t>(taken);
  }
}

void file::write(const void* bytes, std::size_t count, std::uint64_t offset) {
  const auto* in = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t given = ::pwrite(descriptor_, in, count, static_cast<off_t>(offset));
    if (given < 0 && errno == EINTR) continue;
    if (given < 0) throw io_error("write", path_, errno, offset);
    in += given;
    offset += static_cast<std::uint64_t>(given);
    count -= static_cast<std::size_t>(given);
  }
}

void file::sync() {
  if (::fsync(descriptor_) != 0) throw io_error("fsync", path_, errno);
}

}  // namespace zero::trainer
