#pragma once
// segment: one rank's part of a memory_file as a memory_resource.
//
// Page-aligned blocks, first fit; free neighbours are joined. What is free is known to this
// process only. Freed pages go back to the system, so that a block is zero whenever it is given
// out and freed memory costs nothing. Thread-safe.

#include "arena/alias_space.hpp"
#include "arena/memory_file.hpp"

#include <zero/base/memory_resource.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace zero::collectives {

// What is told before memory is given back: work that still uses it must not go on silently.
class release_observer {
 public:
  virtual void before_release(const std::byte* block, std::uint64_t bytes) noexcept = 0;

 protected:
  ~release_observer() = default;
};

class segment final : public memory_resource {
 public:
  // Blocks come from [first, first + bytes) of `file`, both multiples of a page. `file` must
  // outlive this.
  segment(const memory_file& file, std::uint64_t first, std::uint64_t bytes);

  [[nodiscard]] void* allocate(std::size_t bytes) override;
  void deallocate(void* block, std::size_t bytes) noexcept override;
  [[nodiscard]] address_space* mappings() noexcept override { return &aliases_; }

  // Where the bytes are in the file's own mapping, whichever rank's and by whichever address they
  // were named; nullptr if they are not the file's.
  [[nodiscard]] std::byte* resolve(const void* pointer, std::uint64_t bytes) const noexcept;

  void add_observer(release_observer& observer);
  void remove_observer(release_observer& observer) noexcept;

 private:
  struct hole {
    std::uint64_t offset;  // in the file
    std::uint64_t bytes;
  };

  const memory_file& file_;
  alias_space aliases_;
  std::mutex mutex_;
  std::vector<hole> holes_;  // by offset; no two touch
  std::size_t blocks_ = 0;   // given out
  std::vector<release_observer*> observers_;
};

}  // namespace zero::collectives
