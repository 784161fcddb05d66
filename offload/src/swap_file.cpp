#include "swap_directory.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/offload/swap_file.hpp>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace zero::offload {
namespace {

constexpr std::size_t least_alignment = 4096;

// What the kernel says direct I/O on this file must be aligned to; 0: not to be had; -1: it does
// not say, as before Linux 6.1 and on many file systems.
long stated_alignment(int file) {
#ifdef STATX_DIOALIGN
  struct statx found {};
  if (statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &found) == 0 &&
      (found.stx_mask & STATX_DIOALIGN) != 0) {
    return std::max<long>(found.stx_dio_mem_align, found.stx_dio_offset_align);
  }
#else
  static_cast<void>(file);
#endif
  return -1;
}

// The smallest power of two, from least_alignment to 1 MiB, by which a direct write is accepted. 0:
// none. Found by writing, since reads past the end succeed whatever their alignment.
long probed_alignment(int file) {
  constexpr std::size_t largest = std::size_t{1} << 20;
  page_resource pages;
  void* const memory = pages.allocate(2 * largest);
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  auto* const even = static_cast<char*>(memory) + (round_up(address, largest) - address);
  long found = 0;
  for (std::size_t size = least_alignment; size <= largest && found == 0; size *= 2) {
    // A full disk says nothing about alignment; reserve will find it.
    if (pwrite(file, even, size, 0) >= 0 || errno == ENOSPC || errno == EDQUOT) {
      found = static_cast<long>(size);
    } else if (errno != EINVAL) {
      break;
    }
  }
  pages.deallocate(memory, 2 * largest);
  return ftruncate(file, 0) == 0 ? found : 0;
}

bool rests_in_memory(int file) {
  struct statfs system {};
  return fstatfs(file, &system) == 0 &&
         (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

std::uint64_t available_bytes(int file) {
  struct statvfs system {};
  if (fstatvfs(file, &system) != 0) return 0;
  return static_cast<std::uint64_t>(system.f_bavail) * system.f_frsize;
}

}  // namespace

swap_file::swap_file(const std::string& directory, const swap_file_options& options)
    : alignment_(std::max(least_alignment, page_size())), path_(directory + "/(unnamed)") {
  const zero::descriptor place = open_swap_directory(directory);
  zero::descriptor file = make_nameless_file(place, directory, options.naming);
  descriptor_ = file.release();
  try {
    if (options.caching == swap_caching::automatic) go_direct();
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

swap_file::swap_file(swap_file&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      bytes_(std::exchange(other.bytes_, 0)),
      alignment_(other.alignment_),
      direct_(other.direct_),
      path_(std::move(other.path_)),
      note_(std::move(other.note_)) {}

swap_file& swap_file::operator=(swap_file&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  std::swap(alignment_, other.alignment_);
  std::swap(direct_, other.direct_);
  std::swap(path_, other.path_);
  std::swap(note_, other.note_);
  return *this;
}

// The space is given back now: an io_uring that is still being taken down keeps the file itself for
// a while.
swap_file::~swap_file() {
  if (descriptor_ < 0) return;
  const int emptied = ftruncate(descriptor_, 0);
  static_cast<void>(emptied);  // if it cannot be, it goes with the file
  close(descriptor_);
}

void swap_file::go_direct() {
  const auto buffered = [&](const std::string& why) {
    note_ = "swap files in '" + path_.substr(0, path_.rfind('/')) +
            "' go through the page cache: " + why;
  };
  if (rests_in_memory(descriptor_)) return buffered("it is a file system in memory");
  const long stated = stated_alignment(descriptor_);
  if (stated == 0) return buffered("its file system has no direct I/O");
  const int flags = fcntl(descriptor_, F_GETFL);
  if (flags < 0 || fcntl(descriptor_, F_SETFL, flags | O_DIRECT) != 0) {
    return buffered(std::string("its file system refuses direct I/O (") + std::strerror(errno) +
                    ")");
  }
  const long asked = stated > 0 ? stated : probed_alignment(descriptor_);
  if (asked == 0) {
    fcntl(descriptor_, F_SETFL, flags);
    return buffered("its file system refuses direct writes");
  }
  alignment_ = std::max(alignment_, static_cast<std::size_t>(asked));
  direct_ = true;
}

void swap_file::reserve(std::uint64_t bytes) {
  if (bytes == 0 || bytes_ > 0) {
    throw invalid_argument("[offload.swap_file] space is reserved once, and more than 0 bytes");
  }
  const std::string what =
      "[offload.swap_file] space in '" + path_.substr(0, path_.rfind('/')) + "' for a swap file";
  // Asked first: going over the limit would be a signal, and filling the disk up to find that it
  // is too small would take it from everybody else meanwhile.
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && bytes > limit.rlim_cur) {
    throw out_of_memory(what + " (limit on file sizes)", bytes, limit.rlim_cur);
  }
  const std::uint64_t available = available_bytes(descriptor_);
  if (bytes > available) throw out_of_memory(what, bytes, available);
  const int result = posix_fallocate(descriptor_, 0, static_cast<off_t>(bytes));
  if (result == ENOSPC || result == EDQUOT || result == EFBIG) {
    const int shrunk = ftruncate(descriptor_, 0);
    static_cast<void>(shrunk);  // what counts is that it was too much
    throw out_of_memory(what, bytes, available_bytes(descriptor_));
  }
  if (result != 0) {
    throw io_error("[offload.swap_file] reserving space for", path_, result, 0,
                   error_class::resource);
  }
  bytes_ = bytes;
}

}  // namespace zero::offload
