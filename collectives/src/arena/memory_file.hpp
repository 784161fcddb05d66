#pragma once
// memory_file: shared anonymous memory (a memfd) mapped whole into this process. It has no name,
// costs memory only where it is touched, and is gone with the last descriptor and mapping.
//
// Thread-safe: immutable after construction but for discard, which is a system call. The size is
// sealed, so that no process can cut the file short under another one.

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

}  // namespace zero::collectives
