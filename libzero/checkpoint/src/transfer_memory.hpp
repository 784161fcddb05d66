#pragma once
// transfer_memory: four buffers of 4 MiB through which all of a checkpoint goes, in both
// directions. Made once: fresh pages cost about as much as writing them to a disk.

#include <zero/base/memory_resource.hpp>
#include <zero/base/span.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::checkpoint {

class transfer_memory {
 public:
  static constexpr std::size_t parts = 4;
  static constexpr std::size_t part_bytes = std::size_t{4} << 20U;

  transfer_memory() : block_(static_cast<std::uint8_t*>(pages_.allocate(parts * part_bytes))) {}
  transfer_memory(const transfer_memory&) = delete;
  transfer_memory& operator=(const transfer_memory&) = delete;
  ~transfer_memory() { pages_.deallocate(block_, parts * part_bytes); }

  // Number i of them, counted round and round.
  [[nodiscard]] std::uint8_t* part(std::uint64_t i) const noexcept {
    return block_ + (i % parts) * part_bytes;
  }
  [[nodiscard]] span<std::uint8_t> all() const noexcept { return {block_, parts * part_bytes}; }

 private:
  page_resource pages_;
  std::uint8_t* block_;
};

}  // namespace zero::checkpoint
