#pragma once
// A folder of its own for each test, aligned memory, and bytes that tell what they are.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <new>
#include <string>

namespace zero::testing {

class scratch_directory {
 public:
  explicit scratch_directory(const std::string& above = ::testing::TempDir()) {
    std::string name = above + "/zero_offload_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::bad_alloc();
    path_ = name;
  }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  ~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] bool empty() const { return std::filesystem::is_empty(path_); }

 private:
  std::string path_;
};

class aligned_memory {
 public:
  explicit aligned_memory(std::size_t bytes, std::size_t alignment = 4096) {
    void* block = nullptr;
    if (posix_memalign(&block, alignment, bytes == 0 ? alignment : bytes) != 0) {
      throw std::bad_alloc();
    }
    block_.reset(static_cast<unsigned char*>(block));
    for (std::size_t i = 0; i < bytes; ++i) block_.get()[i] = 0xEE;
  }
  [[nodiscard]] unsigned char* get() const noexcept { return block_.get(); }

 private:
  struct freed {
    void operator()(unsigned char* block) const noexcept { std::free(block); }
  };
  std::unique_ptr<unsigned char, freed> block_;
};

// Byte i of a record as a generation wrote it: different for every record, generation and place.
inline unsigned char byte_of(std::uint64_t record, std::uint64_t generation, std::uint64_t i) {
  std::uint64_t x = (record + 1) * 0x9E3779B97F4A7C15U ^ (generation + 1) * 0xC2B2AE3D27D4EB4FU ^
                    (i / 8 + 1) * 0x165667B19E3779F9U;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9U;
  x ^= x >> 32;
  return static_cast<unsigned char>(x >> (8 * (i % 8)));
}

inline void fill(unsigned char* memory, std::uint64_t bytes, std::uint64_t record,
                 std::uint64_t generation) {
  for (std::uint64_t i = 0; i < bytes; ++i) memory[i] = byte_of(record, generation, i);
}

// The first byte that differs, or -1.
inline std::int64_t first_difference(const unsigned char* memory, std::uint64_t bytes,
                                     std::uint64_t record, std::uint64_t generation) {
  for (std::uint64_t i = 0; i < bytes; ++i) {
    if (memory[i] != byte_of(record, generation, i)) return static_cast<std::int64_t>(i);
  }
  return -1;
}

}  // namespace zero::testing
