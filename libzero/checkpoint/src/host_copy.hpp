#pragma once
// host_copy: the bytes of a rank's file in host memory, from when the state was looked at until
// they are published. The memory stays for the next time. One thread at a time.

#include <zero/base/memory_resource.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace zero::checkpoint {

class host_copy {
 public:
  host_copy() = default;
  host_copy(const host_copy&) = delete;
  host_copy& operator=(const host_copy&) = delete;
  ~host_copy() { release(); }

  // Empties it and makes room. Throws out_of_memory.
  void begin(std::size_t bytes) {
    used_ = 0;
    if (bytes <= room_) return;
    release();
    block_ = static_cast<std::uint8_t*>(pages_.allocate(bytes));
    room_ = bytes;
  }
  // At most as much as there is room for is kept; `filled` tells.
  void append(const void* bytes, std::size_t count) noexcept {
    if (count <= room_ - used_) std::memcpy(block_ + used_, bytes, count);
    used_ += count <= room_ - used_ ? count : 0;
  }
  [[nodiscard]] const std::uint8_t* data() const noexcept { return block_; }
  [[nodiscard]] std::size_t filled() const noexcept { return used_; }
  [[nodiscard]] std::size_t room() const noexcept { return room_; }

 private:
  void release() noexcept {
    if (block_ != nullptr) pages_.deallocate(block_, room_);
    block_ = nullptr;
    room_ = 0;
  }

  page_resource pages_;
  std::uint8_t* block_ = nullptr;
  std::size_t room_ = 0;
  std::size_t used_ = 0;
};

}  // namespace zero::checkpoint
