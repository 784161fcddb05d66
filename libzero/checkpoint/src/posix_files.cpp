// The file_calls of the system: every name is looked up from a directory that is held open, one
// part at a time, and no part may be a symbolic link.
//
// Names have at most two parts, so O_NOFOLLOW on each says what openat2 would with RESOLVE_BENEATH,
// RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS, and does so where a kernel or a sandbox has no
// openat2. Several threads may use one at once: nothing changes after it was made.

#include "directory_path.hpp"

#include <zero/base/descriptor.hpp>
#include <zero/base/error.hpp>
#include <zero/checkpoint/file_calls.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zero::checkpoint {
namespace {

constexpr mode_t own_file = S_IRUSR | S_IWUSR;
constexpr mode_t own_directory = S_IRWXU;

long result_of(long returned) { return returned < 0 ? -errno : returned; }

// Folder and name of a name; the folder is "" where it has none. False if it is not one of ours.
bool split(std::string_view whole, std::string& folder, std::string& name) {
  const auto is_part = [](std::string_view part) {
    return !part.empty() && part != "." && part != ".." &&
           part.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
  };
  const std::size_t slash = whole.find('/');
  const bool two = slash != std::string_view::npos;
  const std::string_view first = two ? whole.substr(0, slash) : std::string_view();
  const std::string_view last = two ? whole.substr(slash + 1) : whole;
  if ((two && !is_part(first)) || !is_part(last)) return false;
  folder = first;
  name = last;
  return true;
}

class posix_files final : public file_calls {
 public:
  posix_files(descriptor directory, std::string path)
      : directory_(std::move(directory)), path_(std::move(path)) {
    if (path_.back() != '/') path_ += '/';
  }

  long open(const std::string& name, opening how) override {
    place at(*this, name);
    if (at.error != 0) return at.error;
    switch (how) {
      case opening::read:
        return open_to_read(at);
      case opening::create:
      case opening::create_direct:
        return create(at, how == opening::create_direct);
      case opening::lock:
        break;
    }
    return open_to_lock(at);
  }

  long close(long file) override { return result_of(::close(static_cast<int>(file))); }

  long read(long file, void* bytes, std::size_t count, std::uint64_t offset) override {
    return result_of(pread(static_cast<int>(file), bytes, count, static_cast<off_t>(offset)));
  }

  long write(long file, const void* bytes, std::size_t count, std::uint64_t offset) override {
    return result_of(pwrite(static_cast<int>(file), bytes, count, static_cast<off_t>(offset)));
  }

  long allocate(long file, std::uint64_t count) override {
    if (count == 0) return 0;  // which fallocate calls invalid
    return result_of(fallocate(static_cast<int>(file), 0, 0, static_cast<off_t>(count)));
  }

  long resize(long file, std::uint64_t count) override {
    return result_of(ftruncate(static_cast<int>(file), static_cast<off_t>(count)));
  }

  long sync(long file) override { return result_of(fsync(static_cast<int>(file))); }

  long facts(long file, file_facts& out) override {
    struct stat found {};
    if (fstat(static_cast<int>(file), &found) != 0) return -errno;
    out.bytes = static_cast<std::uint64_t>(found.st_size);
    out.regular = S_ISREG(found.st_mode);
    out.directory = S_ISDIR(found.st_mode);
    return 0;
  }

  long lock(long file) override {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    const long result = result_of(fcntl(static_cast<int>(file), F_OFD_SETLK, &whole));
    return result == -EACCES ? -EAGAIN : result;
  }

  long make_directory(const std::string& name) override {
    place at(*this, name);
    if (at.error != 0) return at.error;
    if (mkdirat(at.folder(), at.name.c_str(), own_directory) != 0) return -errno;
    struct stat made {};
    if (fstatat(at.folder(), at.name.c_str(), &made, AT_SYMLINK_NOFOLLOW) != 0) return -errno;
    if ((made.st_mode & S_IRWXU) == own_directory) return 0;
    return result_of(fchmodat(at.folder(), at.name.c_str(), own_directory, AT_SYMLINK_NOFOLLOW));
  }

  long list(const std::string& name, std::vector<std::string>& out) override {
    const long opened = open_directory_of(name);
    if (opened < 0) return opened;
    DIR* const entries = fdopendir(static_cast<int>(opened));  // which closes it from here on
    if (entries == nullptr) {
      const long why = -errno;
      ::close(static_cast<int>(opened));
      return why;
    }
    errno = 0;
    for (const dirent* entry = readdir(entries); entry != nullptr; entry = readdir(entries)) {
      const std::string found = entry->d_name;
      if (found != "." && found != "..") out.push_back(found);
      errno = 0;
    }
    const long result = -errno;
    closedir(entries);
    return result;
  }

  long sync_directory(const std::string& name) override {
    const long opened = open_directory_of(name);
    if (opened < 0) return opened;
    const descriptor held(static_cast<int>(opened));
    return result_of(fsync(held.number()));
  }

  long rename(const std::string& from, const std::string& to) override {
    place source(*this, from);
    if (source.error != 0) return source.error;
    place target(*this, to);
    if (target.error != 0) return target.error;
    return result_of(renameat2(source.folder(), source.name.c_str(), target.folder(),
                               target.name.c_str(), RENAME_NOREPLACE));
  }

  long remove_file(const std::string& name) override { return remove(name, 0); }
  long remove_directory(const std::string& name) override { return remove(name, AT_REMOVEDIR); }

  long free_bytes(std::uint64_t& out) override {
    struct statvfs system {};
    if (fstatvfs(directory_.number(), &system) != 0) return -errno;
    out = static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize;
    return 0;
  }

  std::string path_of(const std::string& name) const override {
    return name.empty() ? path_.substr(0, path_.size() - (path_.size() > 1 ? 1 : 0)) : path_ + name;
  }

 private:
  // Where the last part of a name is to be looked up.
  struct place {
    place(const posix_files& files, const std::string& whole) : top(files.directory_.number()) {
      std::string first;
      if (!split(whole, first, name)) {
        error = -EINVAL;
      } else if (!first.empty()) {
        below =
            descriptor(openat(top, first.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!below) error = -errno;
      }
    }
    [[nodiscard]] int folder() const { return below ? below.number() : top; }

    int top;
    descriptor below;
    std::string name;
    long error = 0;
  };

  static int open_at(const place& at, int flags) {
    // O_NONBLOCK: not to wait for the other end if it is a pipe; regular files do not care.
    return openat(at.folder(), at.name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                  own_file);
  }

  // Whether it is a file at all, and for what is written to, no other name of somebody's file.
  static long check_file(const descriptor& opened, bool sole_name) {
    struct stat found {};
    if (fstat(opened.number(), &found) != 0) return -errno;
    if (S_ISDIR(found.st_mode)) return -EISDIR;
    if (!S_ISREG(found.st_mode)) return -EINVAL;
    return sole_name && found.st_nlink != 1 ? -EMLINK : 0;
  }

  static long open_to_read(const place& at) {
    descriptor opened(open_at(at, O_RDONLY));
    if (!opened) return -errno;
    const long wrong = check_file(opened, false);
    return wrong != 0 ? wrong : opened.release();
  }

  static long open_to_lock(const place& at) {
    descriptor opened(open_at(at, O_RDWR | O_CREAT | O_EXCL));
    if (opened) {
      if (fchmod(opened.number(), own_file) != 0) return -errno;
      return opened.release();
    }
    if (errno != EEXIST) return -errno;
    opened = descriptor(open_at(at, O_RDWR));
    if (!opened) return -errno;
    const long wrong = check_file(opened, true);
    return wrong != 0 ? wrong : opened.release();
  }

  // What could not be opened as asked leaves no name behind: the caller tries the same one again.
  static long create(const place& at, bool direct) {
    descriptor made(open_at(at, O_WRONLY | O_CREAT | O_EXCL));
    if (!made) return -errno;
    long result = result_of(fchmod(made.number(), own_file));
    if (result == 0 && direct) result = go_direct(made.number());
    if (result == 0) return made.release();
    unlinkat(at.folder(), at.name.c_str(), 0);
    return result;
  }

  static long go_direct(int file) {
#ifdef STATX_DIOALIGN
    struct statx found {};
    if (statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &found) == 0 &&
        (found.stx_mask & STATX_DIOALIGN) != 0 &&
        (found.stx_dio_offset_align == 0 || found.stx_dio_offset_align > block_bytes ||
         found.stx_dio_mem_align > block_bytes)) {
      return -EINVAL;
    }
#endif
    const int flags = fcntl(file, F_GETFL);
    return flags < 0 ? -errno : result_of(fcntl(file, F_SETFL, flags | O_DIRECT));
  }

  [[nodiscard]] long open_directory_of(const std::string& name) const {
    constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (name.empty()) return result_of(openat(directory_.number(), ".", flags));
    place at(*this, name);
    return at.error != 0 ? at.error : result_of(openat(at.folder(), at.name.c_str(), flags));
  }

  [[nodiscard]] long remove(const std::string& name, int flags) const {
    place at(*this, name);
    return at.error != 0 ? at.error : result_of(unlinkat(at.folder(), at.name.c_str(), flags));
  }

  descriptor directory_;
  std::string path_;  // with a slash at the end
};

}  // namespace

std::shared_ptr<file_calls> open_directory(const std::string& directory, if_missing otherwise) {
  if (otherwise == if_missing::create) make_path(directory);
  return std::make_shared<posix_files>(open_path(directory), directory);
}

}  // namespace zero::checkpoint
