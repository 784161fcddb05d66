#pragma once
// buffer: owns one block of a memory_resource and its entry in the memory statistics.
//
// Move-only. Payload and padding are accounted apart: padding is what the layout adds so that
// equal pieces exist, and it is counted as memory_account::buffers wherever the payload goes.

#include <zero/base/memory_resource.hpp>
#include <zero/base/memory_statistics.hpp>

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero {

class buffer {
 public:
  buffer() noexcept = default;
  // Allocates payload + padding zero-filled bytes. `resource` and `statistics` must outlive the
  // buffer. Throws out_of_memory. 0 bytes allocate nothing.
  buffer(memory_resource& resource, memory_statistics& statistics, memory_account account,
         std::size_t payload, std::size_t padding = 0);
  buffer(buffer&& other) noexcept;
  buffer& operator=(buffer&& other) noexcept;
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;
  ~buffer();

  [[nodiscard]] void* data() const noexcept { return data_; }
  // Payload and padding together, in bytes.
  [[nodiscard]] std::size_t size() const noexcept { return payload_ + padding_; }
  [[nodiscard]] explicit operator bool() const noexcept { return data_ != nullptr; }

  template <typename T>
  [[nodiscard]] T* as() const noexcept {
    return static_cast<T*>(data_);
  }

 private:
  void reset() noexcept;

  memory_resource* resource_ = nullptr;
  memory_statistics* statistics_ = nullptr;
  memory_account account_ = memory_account::buffers;
  void* data_ = nullptr;
  std::size_t payload_ = 0;
  std::size_t padding_ = 0;
};

}  // namespace zero
#pragma GCC visibility pop
