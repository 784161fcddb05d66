#pragma once
// sha256: the digest of FIPS 180-4, so that users can compare what was read with `sha256sum`.
//
// Not for secrets. One object, one thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace zero::trainer {

class sha256 {
 public:
  void update(const void* bytes, std::size_t count) noexcept;

  // 64 lower-case hex digits of everything given so far.
  [[nodiscard]] std::string hex() const;

 private:
  void compress(const std::uint8_t* block) noexcept;

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> tail_{};  // bytes of the block that is not full yet
  std::uint64_t count_ = 0;              // bytes so far
};

}  // namespace zero::trainer
