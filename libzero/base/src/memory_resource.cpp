#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace zero {

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

void* page_resource::allocate(std::size_t bytes) {
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), page_size());
  void* block = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) throw out_of_memory("[base.page_resource] anonymous pages", size, 0);
  return block;
}

void page_resource::deallocate(void* block, std::size_t bytes) noexcept {
  munmap(block, round_up(std::max<std::size_t>(bytes, 1), page_size()));
}

}  // namespace zero
