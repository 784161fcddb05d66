#pragma once
// memory_file: shared anonymous memory (a memfd) mapped whole into this process. It has no name,
// costs memory only where it is touched, and is gone with the last descriptor and mapping.
//
// Thread-safe: immutable after construction but for discard, which is a system call. The size is
// sealed, so that no process can cut the file short under another one.

#include <zero/base/error.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::collectives {

class memory_file {
 public:
  // Throws io_error, or out_of_memory where there are not enough addresses.
  [[nodiscard]] static memory_file create(std::uint64_t bytes);
  // Takes the descriptor over, unless it throws: invalid_argument if it is not such a file.
  [[nodiscard]] static memory_file adopt(int descriptor);

  memory_file(memory_file&& other) noexcept;
  memory_file& operator=(memory_file&&) = delete;
  ~memory_file();

  [[nodiscard]] std::byte* base() const noexcept { return base_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  void release_descriptor() noexcept { descriptor_ = -1; }  // it is the caller's again

  // Whether [pointer, pointer + count) lies in this mapping.
  [[nodiscard]] bool contains(const void* pointer, std::uint64_t count) const noexcept;
  [[nodiscard]] std::uint64_t offset_of(const void* pointer) const noexcept;

  // Gives whole pages back to the system; they read as zero from now on, in every process.
  void discard(std::uint64_t offset, std::uint64_t count) const noexcept;

 private:
  memory_file(int descriptor, std::uint64_t bytes);

  int descriptor_ = -1;
  std::byte* base_ = nullptr;
  std::uint64_t bytes_ = 0;
};

// Bytes of addresses for each of `ranks` in one process that may come to need all memory: as many
// as there is memory, and of all together at most half of what RLIMIT_AS leaves.
[[nodiscard]] std::uint64_t spacious_bytes(int ranks) noexcept;

// What `make` makes of as many bytes; where there are not so many addresses, of half as many and so
// on: less will usually do. Throws its out_of_memory.
template <typename Make>
auto make_spacious(int ranks, const Make& make) {
  constexpr std::uint64_t least = std::uint64_t{64} << 20;
  for (std::uint64_t bytes = spacious_bytes(ranks);; bytes /= 2) {
    try {
      return make(bytes);
    } catch (const out_of_memory&) {
      if (bytes / 2 < least) throw;
    }
  }
}

}  // namespace zero::collectives
