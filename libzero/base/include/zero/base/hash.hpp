#pragma once
// hash128: a streaming 128-bit XXH3 hash, for digests that are compared and never kept secret.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace zero {

using digest128 = std::array<std::uint8_t, 16>;

// 32 lower-case hex digits, most significant byte first.
[[nodiscard]] std::string to_hex(const digest128& digest);

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
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace zero
