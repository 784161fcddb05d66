#pragma once
// address_space: reserved virtual ranges into which blocks of a memory_resource can be mapped a
// second time, so that one pointer stays valid while the memory behind it comes and goes. mmap on
// the host, cuMemMap on CUDA.
//
// Thread-safe for disjoint ranges. Blocks while the system changes the page table; nothing else.

#include <cstddef>

#pragma GCC visibility push(default)
namespace zero {

class address_space {
 public:
  address_space() = default;
  address_space(const address_space&) = delete;
  address_space& operator=(const address_space&) = delete;
  virtual ~address_space() = default;

  // Every address and size given to map must be a multiple of this many bytes.
  [[nodiscard]] virtual std::size_t granularity() const noexcept = 0;

  // Reserves `bytes` of addresses with nothing behind them; touching them faults. Throws
  // out_of_memory.
  [[nodiscard]] virtual void* reserve(std::size_t bytes) = 0;
  virtual void unreserve(void* range, std::size_t bytes) noexcept = 0;

  // Shows the `bytes` of memory at `backing`, which belong to a block of the memory_resource this
  // address_space came from, at `at` as well. What was mapped at `at` before is gone from there.
  virtual void map(void* at, const void* backing, std::size_t bytes) = 0;

  // Takes what map put at `at` away again; the backing memory keeps its contents.
  virtual void unmap(void* at, std::size_t bytes) = 0;
};

}  // namespace zero
#pragma GCC visibility pop
