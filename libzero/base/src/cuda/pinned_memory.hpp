#pragma once
// pinned_memory: pages of the host that are registered with the device for as long as they are
// allocated. Where the system will not pin any more (a limit on locked memory, no support), pages
// are given all the same: copies of them are slower and block; unpinned() says how many.
//
// Thread-safe.

#include <zero/base/memory_resource.hpp>

#include <atomic>
#include <cstdint>

namespace zero::cuda {

class pinned_memory final : public memory_resource {
 public:
  explicit pinned_memory(int ordinal) noexcept : ordinal_(ordinal) {}

  [[nodiscard]] void* allocate(std::size_t bytes) override;
  // No queued copy may use the block any more: wait for it first.
  void deallocate(void* block, std::size_t bytes) noexcept override;

  // Bytes allocated now that could not be pinned.
  [[nodiscard]] std::uint64_t unpinned() const noexcept { return unpinned_.load(); }

 private:
  int ordinal_;
  page_resource pages_;
  std::atomic<std::uint64_t> unpinned_{0};
};

}  // namespace zero::cuda
