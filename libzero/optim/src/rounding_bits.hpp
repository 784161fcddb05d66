#pragma once
// The random bits of stochastic rounding: 16 an element, a function of seed, step, purpose and the
// element's key alone, on every processor. Philox4x32 of 7 rounds (Salmon et al. 2011, "Parallel
// random numbers: as easy as 1, 2, 3", which finds 7 enough for every test it knows).
//
// Keys are taken 128 at a time. Key e has the 16-bit part (e / 16) % 8 of what comes out of counter
// (e / 128) * 16 + e % 16: words 0 to 3, of each the lower half before the upper. So 16 counters
// side by side give the bits of 128 keys in their order, and no vector has to be shuffled.

#include <zero/base/host_device.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::optim::detail {

// What bits are for: different purposes have bits that have nothing to do with each other.
enum class rounding_of : std::uint32_t { weight = 0, state0 = 1, state1 = 2 };

struct rounding_key {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;  // below 2^56
  rounding_of purpose = rounding_of::weight;

  // The upper half of every counter.
  [[nodiscard]] ZERO_HOST_DEVICE constexpr std::uint32_t word2() const noexcept {
    return static_cast<std::uint32_t>(step);
  }
  [[nodiscard]] ZERO_HOST_DEVICE constexpr std::uint32_t word3() const noexcept {
    return static_cast<std::uint32_t>(step >> 32) ^ static_cast<std::uint32_t>(purpose) << 24;
  }
};

inline constexpr std::size_t keys_of_block = 128;
inline constexpr std::size_t counters_of_block = 16;

inline constexpr int philox_rounds = 7;
inline constexpr std::uint32_t philox_multiplier0 = 0xD2511F53U;
inline constexpr std::uint32_t philox_multiplier1 = 0xCD9E8D57U;
inline constexpr std::uint32_t philox_weyl0 = 0x9E3779B9U;
inline constexpr std::uint32_t philox_weyl1 = 0xBB67AE85U;

struct philox_words {
  std::uint32_t word[4];
};

[[nodiscard]] ZERO_HOST_DEVICE constexpr philox_words philox(philox_words counter,
                                                             std::uint32_t key0, std::uint32_t key1,
                                                             int rounds = philox_rounds) noexcept {
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t product0 = std::uint64_t{philox_multiplier0} * counter.word[0];
    const std::uint64_t product1 = std::uint64_t{philox_multiplier1} * counter.word[2];
    counter = {{static_cast<std::uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0,
                static_cast<std::uint32_t>(product1),
                static_cast<std::uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<std::uint32_t>(product0)}};
    key0 += philox_weyl0;
    key1 += philox_weyl1;
  }
  return counter;
}

// What comes out of `counter`, which serves 8 keys.
[[nodiscard]] ZERO_HOST_DEVICE constexpr philox_words rounding_words(
    const rounding_key& key, std::uint64_t counter) noexcept {
  return philox({{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
                  key.word2(), key.word3()}},
                static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32));
}

[[nodiscard]] ZERO_HOST_DEVICE constexpr std::uint64_t counter_of(std::uint64_t element) noexcept {
  return element / keys_of_block * counters_of_block + element % counters_of_block;
}

// The part of those words that is the element's own.
[[nodiscard]] ZERO_HOST_DEVICE constexpr std::uint16_t part_of(const philox_words& words,
                                                               std::uint64_t element) noexcept {
  const unsigned part = static_cast<unsigned>(element / counters_of_block) % 8;
  return static_cast<std::uint16_t>(words.word[part / 2] >> (part % 2 * 16));
}

[[nodiscard]] ZERO_HOST_DEVICE constexpr std::uint16_t rounding_bits(
    const rounding_key& key, std::uint64_t element) noexcept {
  return part_of(rounding_words(key, counter_of(element)), element);
}

}  // namespace zero::optim::detail
