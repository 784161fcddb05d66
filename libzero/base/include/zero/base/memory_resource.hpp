#pragma once
// memory_resource: where long-lived memory comes from. A backend offers one whose memory it can
// reach without a copy (a shared arena, registered windows); the engine allocates from it once, at
// construction.

#include <zero/base/address_space.hpp>

#include <cstddef>

#pragma GCC visibility push(default)
namespace zero {

// Whose loads and stores reach a block.
enum class memory_place : unsigned char {
  host,    // the calling thread's
  device,  // an accelerator's alone; the host moves bytes to and from it by queued copies
};

class memory_resource {
 public:
  memory_resource() = default;
  memory_resource(const memory_resource&) = delete;
  memory_resource& operator=(const memory_resource&) = delete;
  virtual ~memory_resource() = default;

  // `bytes` of zero-filled memory, page-aligned. 0 bytes give a unique non-null pointer that must
  // not be dereferenced. Throws out_of_memory. May block while the system finds pages.
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;

  // Takes back what allocate gave for the same number of bytes.
  virtual void deallocate(void* block, std::size_t bytes) noexcept = 0;

  [[nodiscard]] virtual memory_place place() const noexcept { return memory_place::host; }

  // Second mappings of this resource's blocks, or nullptr where there is no such thing.
  [[nodiscard]] virtual address_space* mappings() noexcept { return nullptr; }
};

// Anonymous private pages of this process; no mappings().
class page_resource final : public memory_resource {
 public:
  [[nodiscard]] void* allocate(std::size_t bytes) override;
  void deallocate(void* block, std::size_t bytes) noexcept override;
};

// Bytes of a page of host memory, and of the alignment allocate promises there.
[[nodiscard]] std::size_t page_size() noexcept;

}  // namespace zero
#pragma GCC visibility pop
