#include "arena/alias_space.hpp"

#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

namespace zero::collectives {
namespace {

std::uintptr_t number_of(const void* pointer) noexcept {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

void* map_nothing(void* at, std::size_t bytes, int flags) noexcept {
  return mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
}

void check_pages(const void* at, std::size_t bytes) {
  if (number_of(at) % page_size() != 0 || bytes % page_size() != 0) {
    throw invalid_argument("[collectives.mappings] address or size is no multiple of " +
                           std::to_string(page_size()) + " bytes");
  }
}

}  // namespace

std::size_t alias_space::granularity() const noexcept { return page_size(); }

void* alias_space::reserve(std::size_t bytes) {
  check_pages(nullptr, bytes);
  void* const range = map_nothing(nullptr, bytes == 0 ? page_size() : bytes, 0);
  if (range == MAP_FAILED) throw out_of_memory("[collectives.mappings] addresses", bytes, 0);
  return range;
}

void alias_space::unreserve(void* range, std::size_t bytes) noexcept {
  {
    const std::lock_guard lock(mutex_);
    const std::uintptr_t first = number_of(range);
    std::erase_if(aliases_, [&](const alias& a) { return a.at >= first && a.at < first + bytes; });
  }
  munmap(range, bytes == 0 ? page_size() : bytes);
}

void alias_space::map(void* at, const void* backing, std::size_t bytes) {
  check_pages(at, bytes);
  check_pages(backing, 0);
  if (!file_.contains(backing, bytes) || file_.offset_of(backing) < first_ ||
      file_.offset_of(backing) + bytes > first_ + bytes_) {
    throw invalid_argument("[collectives.mappings] the backing is no block of this memory()");
  }
  if (bytes == 0) return;
  const std::uint64_t offset = file_.offset_of(backing);
  const std::lock_guard lock(mutex_);
  forget(number_of(at), bytes);
  const auto next = std::lower_bound(aliases_.begin(), aliases_.end(), number_of(at),
                                     [](const alias& a, std::uintptr_t n) { return a.at < n; });
  const auto added = aliases_.insert(next, {number_of(at), bytes, offset});
  if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
           file_.descriptor(), static_cast<off_t>(offset)) == MAP_FAILED) {
    const int number = errno;
    aliases_.erase(added);
    throw io_error("[collectives.mappings] mapping", "the arena", number, offset);
  }
}

void alias_space::unmap(void* at, std::size_t bytes) {
  check_pages(at, bytes);
  if (bytes == 0) return;
  const std::lock_guard lock(mutex_);
  forget(number_of(at), bytes);
  if (map_nothing(at, bytes, MAP_FIXED) == MAP_FAILED) {
    throw io_error("[collectives.mappings] unmapping", "the arena", errno);
  }
}

// Takes [at, at + bytes) out of the table; what sticks out on either side stays.
void alias_space::forget(std::uintptr_t at, std::uint64_t bytes) {
  const std::uintptr_t end = at + bytes;
  for (std::size_t i = 0; i < aliases_.size();) {
    const alias old = aliases_[i];
    const std::uintptr_t old_end = old.at + old.bytes;
    if (old_end <= at || old.at >= end) {
      ++i;
      continue;
    }
    aliases_.erase(aliases_.begin() + static_cast<std::ptrdiff_t>(i));
    if (old.at < at) {
      aliases_.insert(aliases_.begin() + static_cast<std::ptrdiff_t>(i++),
                      {old.at, at - old.at, old.offset});
    }
    if (old_end > end) {
      aliases_.insert(aliases_.begin() + static_cast<std::ptrdiff_t>(i++),
                      {end, old_end - end, old.offset + (end - old.at)});
    }
  }
}

std::byte* alias_space::resolve(const void* pointer, std::uint64_t bytes) const noexcept {
  const std::uintptr_t first = number_of(pointer);
  const std::lock_guard lock(mutex_);
  // The last alias that begins at or before the pointer.
  auto it = std::upper_bound(aliases_.begin(), aliases_.end(), first,
                             [](std::uintptr_t n, const alias& a) { return n < a.at; });
  if (it == aliases_.begin()) return nullptr;
  --it;
  const std::uint64_t within = first - it->at;
  if (within >= it->bytes) return nullptr;
  const std::uint64_t offset = it->offset + within;
  // A range may run through neighbours that are neighbours in the file as well.
  std::uint64_t covered = it->bytes - within;
  while (covered < bytes) {
    const alias& last = *it++;
    if (it == aliases_.end() || it->at != last.at + last.bytes ||
        it->offset != last.offset + last.bytes) {
      return nullptr;
    }
    covered += it->bytes;
  }
  return file_.base() + offset;
}

}  // namespace zero::collectives
