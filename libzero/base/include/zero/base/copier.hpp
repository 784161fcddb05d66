#pragma once
// copier: moves bytes between host memory and the memory of a device, on lanes of its own, so that
// neither waits for what is computed.
//
// One thread at a time. Whoever copies sees to it that what is read is there and that what is
// written is nobody else's until the completion.

#include <zero/base/completion.hpp>

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero {

enum class copy_way : unsigned char {
  up,    // from host memory to where is computed
  down,  // from there to host memory
};

class copier {
 public:
  copier() = default;
  copier(const copier&) = delete;
  copier& operator=(const copier&) = delete;
  virtual ~copier() = default;

  // Queues a copy; the two ranges do not overlap. On the host it is done when this returns. What
  // goes one way completes in the order in which it was queued. Throws what the device says.
  virtual completion copy(const void* from, void* to, std::size_t bytes, copy_way way) = 0;
};

// The calling thread's own copies.
class host_copier final : public copier {
 public:
  completion copy(const void* from, void* to, std::size_t bytes, copy_way way) override;
};

}  // namespace zero
#pragma GCC visibility pop
