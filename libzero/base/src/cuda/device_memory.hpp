#pragma once
// device_memory: blocks of device memory made of pieces of one granule each, so that any run of
// granules can be shown at a second address: the driver maps whole pieces only.
//
// Thread-safe but for one range of addresses at a time. Nothing here is ordered with a stream:
// memory and mappings must not be in use by queued work when they are taken away.

#include "cuda_stream.hpp"
#include "driver.hpp"

#include <zero/base/memory_resource.hpp>

#include <map>
#include <mutex>
#include <vector>

namespace zero::cuda {

class device_memory final : public memory_resource, private address_space {
 public:
  // `zeroing` is where blocks are cleared. All must outlive the resource.
  device_memory(int ordinal, const driver& calls, cuda_stream& zeroing);

  [[nodiscard]] void* allocate(std::size_t bytes) override;
  // No queued work may use the block any more: wait for it first.
  void deallocate(void* block, std::size_t bytes) noexcept override;
  [[nodiscard]] memory_place place() const noexcept override { return memory_place::device; }
  [[nodiscard]] address_space* mappings() noexcept override { return this; }

 private:
  [[nodiscard]] std::size_t granularity() const noexcept override { return granule_; }
  [[nodiscard]] void* reserve(std::size_t bytes) override;
  void unreserve(void* range, std::size_t bytes) noexcept override;
  // At once, not in the order of a stream: whatever used the old mapping at `at` must be done (the
  // host has waited for it), and work that uses the new one must be queued afterwards. The same
  // memory may be written through one address and read through another only by different kernels.
  void map(void* at, const void* backing, std::size_t bytes) override;
  void unmap(void* at, std::size_t bytes) override;  // as map: nothing queued may use it

  // Which granules of a reserved range have memory behind them.
  struct reservation {
    std::size_t bytes = 0;
    std::vector<bool> mapped;
  };
  [[nodiscard]] std::size_t granules(std::size_t bytes) const noexcept;
  [[nodiscard]] std::uint64_t available() const noexcept;
  // New pieces behind [address, address + bytes); on failure none.
  void fill_with_pieces(CUdeviceptr address, std::size_t bytes);
  void allow_access(CUdeviceptr address, std::size_t bytes);
  // The reservation `at` is in, and the first granule there. Throws invalid_argument.
  reservation& find(CUdeviceptr at, std::size_t bytes, std::size_t* first);
  void take_away(reservation& range, CUdeviceptr at, std::size_t first, std::size_t count);

  int ordinal_;
  const driver& driver_;
  cuda_stream& zeroing_;
  CUmemAllocationProp kind_{};
  std::size_t granule_ = 0;
  std::mutex mutex_;  // of reservations_ and of zeroing_
  std::map<CUdeviceptr, reservation> reservations_;
};

}  // namespace zero::cuda
