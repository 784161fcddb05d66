#include <zero/base/hash.hpp>

#define XXH_INLINE_ALL  // header only: nothing of xxHash is linked or exported
#include <xxhash.h>

namespace zero {

std::uint64_t checksum64(const void* bytes, std::size_t count, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(bytes, count, seed);
}

struct hash128::state {
  alignas(64) XXH3_state_t xxh;
};

std::string to_hex(const digest128& digest) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

hash128::hash128() : state_(std::make_unique<state>()) { XXH3_128bits_reset(&state_->xxh); }
hash128::hash128(hash128&&) noexcept = default;
hash128& hash128::operator=(hash128&&) noexcept = default;
hash128::~hash128() = default;

void hash128::update(const void* bytes, std::size_t count) noexcept {
  if (count > 0) XXH3_128bits_update(&state_->xxh, bytes, count);
}

void hash128::update(const std::string& text) noexcept {
  update(static_cast<std::uint64_t>(text.size()));
  update(text.data(), text.size());
}

void hash128::update(std::uint64_t number) noexcept {
  std::array<std::uint8_t, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
  update(bytes.data(), bytes.size());
}

digest128 hash128::digest() const noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_->xxh));
  digest128 bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = canonical.digest[i];
  return bytes;
}

}  // namespace zero
