#include "populate.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/memory_resource.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace zero::offload {
namespace {

constexpr std::size_t piece = std::size_t{16} << 20;

// One atomic read-modify-write a page: it leaves the contents alone, whoever else writes there.
void touch(std::byte* memory, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += page_size()) {
    __atomic_fetch_or(reinterpret_cast<unsigned char*>(memory + at), 0, __ATOMIC_RELAXED);
  }
}

int populate_piece(std::byte* memory, std::size_t bytes) {
  while (madvise(memory, bytes, MADV_POPULATE_WRITE) != 0) {
    if (errno == EINVAL) {  // a kernel before 5.14
      touch(memory, bytes);
      return 0;
    }
    if (errno != EINTR && errno != EAGAIN) return errno;
  }
  return 0;
}

}  // namespace

std::uint64_t available_memory() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/meminfo", "re"),
                                                             std::fclose);
  if (file == nullptr) return 0;
  char line[256];
  unsigned long long kib = 0;
  while (std::fgets(line, sizeof(line), file.get()) != nullptr) {
    if (std::sscanf(line, "MemAvailable: %llu kB", &kib) == 1) return kib << 10;
  }
  return 0;
}

int populate(std::byte* memory, std::size_t bytes, int threads) {
  std::atomic<std::size_t> next{0};
  std::atomic<int> failed{0};
  const auto work = [&] {
    while (failed.load() == 0) {
      const std::size_t begin = next.fetch_add(piece);
      if (begin >= bytes) return;
      const int result = populate_piece(memory + begin, std::min(piece, bytes - begin));
      if (result != 0) failed.store(result);
    }
  };
  const auto useful = static_cast<int>(std::min<std::size_t>(bytes / piece, 1024));
  std::vector<std::thread> others;
  try {
    for (int i = 1; i < std::min(threads, useful); ++i) others.emplace_back(work);
  } catch (const std::system_error&) {  // fewer then
  }
  work();
  for (std::thread& t : others) t.join();
  return failed.load();
}

}  // namespace zero::offload
