#include "pinned_memory.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/native_cuda.hpp>

#include <sys/mman.h>

#include <algorithm>

namespace zero::cuda {
namespace {

std::size_t pages_of(std::size_t bytes) noexcept {
  return round_up(std::max<std::size_t>(bytes, 1), page_size());
}

}  // namespace

void* pinned_memory::allocate(std::size_t bytes) {
  const current_device here(ordinal_);
  void* block = pages_.allocate(bytes);
  const std::size_t size = pages_of(bytes);
  madvise(block, size, MADV_HUGEPAGE);  // fewer pages to pin; only a wish
  // Portable: every device of the process copies it at full speed.
  if (cudaHostRegister(block, size, cudaHostRegisterPortable) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    unpinned_ += size;
  }
  return block;
}

void pinned_memory::deallocate(void* block, std::size_t bytes) noexcept {
  const std::size_t size = pages_of(bytes);
  const cudaError_t state = cudaHostUnregister(block);
  unchecked(state);
  if (state == cudaErrorHostMemoryNotRegistered) unpinned_ -= size;
  pages_.deallocate(block, bytes);
}

}  // namespace zero::cuda
