#pragma once
// arena: the memory_file of one world of ranks, laid out as control.hpp says.
//
// Thread-safe and process-safe: what is shared is atomic, the rest is written once by create().

#include "arena/memory_file.hpp"
#include "shared_memory/control.hpp"

#include <cstdint>

namespace zero::collectives {

class arena {
 public:
  // Throws invalid_argument, out_of_memory or io_error.
  [[nodiscard]] static arena create(int size, std::uint64_t bytes_per_rank);
  [[nodiscard]] static arena create_exactly(int size, std::uint64_t bytes_per_rank);
  // Takes the descriptor over, unless it throws: invalid_argument if it is no arena of this
  // version.
  [[nodiscard]] static arena attach(int descriptor);

  [[nodiscard]] const memory_file& file() const noexcept { return file_; }
  [[nodiscard]] int size() const noexcept { return static_cast<int>(header().size); }
  [[nodiscard]] world_header& header() const noexcept;
  [[nodiscard]] rank_entry& entry(int world_rank) const noexcept;
  [[nodiscard]] std::uint64_t segment_offset(int world_rank) const noexcept;

  [[nodiscard]] group_block& block(std::uint64_t offset) const noexcept;
  [[nodiscard]] slot& slot_of(std::uint64_t block, int rank) const noexcept;
  [[nodiscard]] std::byte* staging(std::uint64_t block, int size, int rank) const noexcept;

  // A zeroed block for a group of `size` ranks; 0 if there is no room for one more.
  [[nodiscard]] std::uint64_t allocate_block(int size) const noexcept;
  void free_block(std::uint64_t block) const noexcept;

 private:
  explicit arena(memory_file file) noexcept : file_(static_cast<memory_file&&>(file)) {}

  memory_file file_;
};

}  // namespace zero::collectives
