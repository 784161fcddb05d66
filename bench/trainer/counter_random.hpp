#pragma once
// counter_random: random bits that are a pure function of a key and a counter, so that any of
// them can be had alone, on any rank. Two rounds of the finaliser of SplitMix64 (D. Stafford's
// variant 13).

#include <cstdint>
#include <string>

namespace zero::trainer {

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// 64 random bits for (key, counter).
[[nodiscard]] constexpr std::uint64_t random_bits(std::uint64_t key,
                                                  std::uint64_t counter) noexcept {
  return mix(mix((counter + 1) * 0x9e3779b97f4a7c15u) ^ key);
}

// A key of its own for each (seed, name); FNV-1a over the name.
[[nodiscard]] inline std::uint64_t random_key(std::uint64_t seed,
                                              const std::string& name) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char letter : name) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
  }
  return mix(mix(seed + 0x9e3779b97f4a7c15u) ^ hash);
}

}  // namespace zero::trainer
