#include "arena/memory_file.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

namespace zero::collectives {
namespace {

constexpr const char* file_name = "libzero arena";  // shown in /proc; not a path
constexpr int size_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

std::uint64_t spacious_bytes(int ranks) noexcept {
  const std::uint64_t memory = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * page_size();
  struct rlimit limit {};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return memory;
  return std::min<std::uint64_t>(
      memory, limit.rlim_cur / 2 / static_cast<std::uint64_t>(std::max(ranks, 1)));
}

memory_file memory_file::create(std::uint64_t bytes) {
  const std::uint64_t size = round_up(bytes, page_size());
  const int descriptor = memfd_create(file_name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) throw io_error("[collectives] creating", file_name, errno);
  if (ftruncate(descriptor, static_cast<off_t>(size)) != 0 ||
      fcntl(descriptor, F_ADD_SEALS, size_seals) != 0) {
    const int number = errno;
    close(descriptor);
    throw io_error("[collectives] sizing", file_name, number);
  }
  try {
    return memory_file(descriptor, size);
  } catch (...) {
    close(descriptor);
    throw;
  }
}

memory_file memory_file::adopt(int descriptor) {
  struct stat status {};
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & size_seals) != size_seals || fstat(descriptor, &status) != 0 ||
      status.st_size <= 0) {
    throw invalid_argument("[collectives] descriptor " + std::to_string(descriptor) +
                           " is not a shared memory arena");
  }
  memory_file file(descriptor, static_cast<std::uint64_t>(status.st_size));
  fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return file;
}

memory_file::memory_file(int descriptor, std::uint64_t bytes) : bytes_(bytes) {
  void* const mapped =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  if (mapped == MAP_FAILED) {
    throw out_of_memory(std::string("[collectives] mapping the arena: ") + std::strerror(errno),
                        bytes, 0);
  }
  madvise(mapped, bytes, MADV_DONTDUMP);  // a core file of every rank's memory helps nobody
  descriptor_ = descriptor;
  base_ = static_cast<std::byte*>(mapped);
}

memory_file::memory_file(memory_file&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      base_(std::exchange(other.base_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

memory_file::~memory_file() {
  if (base_ != nullptr) munmap(base_, bytes_);
  if (descriptor_ >= 0) close(descriptor_);
}

bool memory_file::contains(const void* pointer, std::uint64_t count) const noexcept {
  const auto* const first = static_cast<const std::byte*>(pointer);
  const std::less<> before;  // pointers into different objects
  if (before(first, base_) || before(base_ + bytes_, first)) return false;
  return count <= bytes_ - offset_of(pointer);
}

std::uint64_t memory_file::offset_of(const void* pointer) const noexcept {
  return static_cast<std::uint64_t>(static_cast<const std::byte*>(pointer) - base_);
}

void memory_file::discard(std::uint64_t offset, std::uint64_t count) const noexcept {
  if (count == 0) return;
  if (fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(count)) != 0) {
    std::memset(base_ + offset, 0, count);  // dearer, but zero is promised
  }
}

}  // namespace zero::collectives
