#pragma once
// transfer_memory: two buffers of 8 MiB through which all of a checkpoint goes, in both directions.
// Made once: fresh pages cost about as much as writing them to a disk.

#include <zero/base/memory_resource.hpp>
#include <zero/base/span.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::checkpoint {

class transfer_memory {
 public:
  static constexpr std::size_t half_bytes = std::size_t{8} << 20U;

  transfer_memory() : block_(static_cast<std::uint8_t*>(pages_.allocate(2 * half_bytes))) {}
  transfer_memory(const transfer_memory&) = delete;
  transfer_memory& operator=(const transfer_memory&) = delete;
  ~transfer_memory() { pages_.deallocate(block_, 2 * half_bytes); }

  [[nodiscard]] std::uint8_t* half(int which) const noexcept {
    return block_ + (which == 0 ? 0 : half_bytes);
  }
  [[nodiscard]] span<std::uint8_t> all() const noexcept { return {block_, 2 * half_bytes}; }

 private:
  page_resource pages_;
  std::uint8_t* block_;
};

}  // namespace zero::checkpoint
