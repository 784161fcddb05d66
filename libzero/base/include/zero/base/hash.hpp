#pragma once
// hash128: a streaming 128-bit XXH3 hash, for digests that are compared and never kept secret.
// checksum64: the 64-bit one of a piece of memory, for finding out that bytes are not what they
// were.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#pragma GCC visibility push(default)
namespace zero {

using digest128 = std::array<std::uint8_t, 16>;

// 32 lower-case hex digits, most significant byte first.
[[nodiscard]] std::string to_hex(const digest128& digest);

// XXH3-64 of `count` bytes with a seed. About as fast as memory is read.
[[nodiscard]] std::uint64_t checksum64(const void* bytes, std::size_t count,
                                       std::uint64_t seed) noexcept;

class hash128 {
 public:
  hash128();
  hash128(hash128&&) noexcept;
  hash128& operator=(hash128&&) noexcept;
  ~hash128();

  // Appends bytes. The digest depends on their order and not on how they were cut into calls.
  void update(const void* bytes, std::size_t count) noexcept;
  // The length in bytes first, then the bytes: "ab","c" and "a","bc" differ.
  void update(const std::string& text) noexcept;
  void update(std::uint64_t number) noexcept;  // 8 bytes, little endian

  [[nodiscard]] digest128 digest() const noexcept;

 private:
  struct [[gnu::visibility("hidden")]] state;
  std::unique_ptr<state> state_;
};

}  // namespace zero
#pragma GCC visibility pop
