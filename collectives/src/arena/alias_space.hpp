#pragma once
// alias_space: reserved address ranges in which pages of a memory_file are shown a second time.
//
// Keeps a table of what is shown where, so that memory reached by such an address can be told
// from foreign memory. Thread-safe.

#include "arena/memory_file.hpp"

#include <zero/base/address_space.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace zero::collectives {

class alias_space final : public address_space {
 public:
  // `file` must outlive this. Only pages of [first, first + bytes) of it may be mapped.
  alias_space(const memory_file& file, std::uint64_t first, std::uint64_t bytes) noexcept
      : file_(file), first_(first), bytes_(bytes) {}

  [[nodiscard]] std::size_t granularity() const noexcept override;
  [[nodiscard]] void* reserve(std::size_t bytes) override;
  void unreserve(void* range, std::size_t bytes) noexcept override;
  void map(void* at, const void* backing, std::size_t bytes) override;
  void unmap(void* at, std::size_t bytes) override;

  // The same bytes in the file's own mapping, or nullptr if they are not (all) shown here.
  [[nodiscard]] std::byte* resolve(const void* pointer, std::uint64_t bytes) const noexcept;

 private:
  struct alias {
    std::uintptr_t at;
    std::uint64_t bytes;
    std::uint64_t offset;  // in the file
  };
  void forget(std::uintptr_t at, std::uint64_t bytes);

  const memory_file& file_;
  std::uint64_t first_;
  std::uint64_t bytes_;
  mutable std::mutex mutex_;
  std::vector<alias> aliases_;  // ordered by address, without overlap
};

}  // namespace zero::collectives
