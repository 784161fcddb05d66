#pragma once
// packed.hpp on a device: the 32 threads of a warp share a block of 128 elements, lane l having
// elements l, l + 32, l + 64 and l + 96, so that what lanes read and write side by side lies side
// by side. The lanes meet once, for the largest magnitudes of the states. Tests on the host run
// lane after lane.

#include "packed_element.hpp"
#include "packed_runs.hpp"
#include "rounding_bits.hpp"
#include "typed_elements.hpp"
#include "update_rules.hpp"

#include <zero/optim/packed.hpp>

#include <cstring>

namespace zero::optim::detail {

inline constexpr unsigned warp_lanes = 32;
inline constexpr unsigned packed_elements_a_lane = format_block / warp_lanes;
static_assert(packed_elements_a_lane == 4);

// ---- one lane ----------------------------------------------------------------------------------

struct packed_lane {
  float weight[packed_elements_a_lane];
  float state[2][packed_elements_a_lane];
  bool inside[packed_elements_a_lane];  // of a run

  [[nodiscard]] ZERO_HOST_DEVICE bool touched() const noexcept {
    return inside[0] || inside[1] || inside[2] || inside[3];
  }
  // Of the lane's values of a state, as bits.
  [[nodiscard]] ZERO_HOST_DEVICE std::uint32_t largest(int of_state) const noexcept {
    std::uint32_t most = 0;
    for (const float v : state[of_state]) {
      const std::uint32_t magnitude = zero::detail::bits_of(v) & magnitude_bits;
      if (magnitude > most) most = magnitude;
    }
    return most;
  }
};

[[nodiscard]] ZERO_HOST_DEVICE inline float load_as(dtype type, const void* data,
                                                    std::uint64_t i) noexcept {
  if (type == dtype::bf16) return to_float(static_cast<const bf16_t*>(data)[i]);
  if (type == dtype::fp16) return to_float(static_cast<const fp16_t*>(data)[i]);
  return static_cast<const float*>(data)[i];
}

[[nodiscard]] ZERO_HOST_DEVICE inline std::byte* codes_of_block(const packed_spans& s, int state,
                                                                std::uint64_t block) noexcept {
  return static_cast<std::byte*>(s.state[state]) + block * code_block_bytes;
}

[[nodiscard]] ZERO_HOST_DEVICE inline float load_state(const packed_spans& s, algorithm a,
                                                       int state, std::uint64_t i) noexcept {
  if (s.formats.states == state_format::fp32) return static_cast<const float*>(s.state[state])[i];
  if (s.formats.states == state_format::bf16) {
    return to_float(static_cast<const bf16_t*>(s.state[state])[i]);
  }
  const std::byte* const block = codes_of_block(s, state, i / format_block);
  float unit;
  std::memcpy(&unit, __builtin_assume_aligned(block + format_block, 4), sizeof unit);
  return value_of_code(static_cast<std::uint8_t>(block[i % format_block]), unit, kind_of(a, state));
}

[[nodiscard]] ZERO_HOST_DEVICE inline float load_weight(const packed_spans& s,
                                                        std::uint64_t i) noexcept {
  if (s.formats.master == master_format::fp32) return static_cast<const float*>(s.master)[i];
  if (s.formats.master == master_format::none)
    return load_as(s.parameter.type, s.parameter.data, i);
  return join(static_cast<const bf16_t*>(s.parameter.data)[i],
              static_cast<const std::uint16_t*>(s.master)[i]);
}

// Loads and updates the lane's elements of a block.
template <class Rule>
[[nodiscard]] ZERO_HOST_DEVICE packed_lane update_lane(const packed_spans& s, algorithm a,
                                                       const run_scalars* runs, unsigned count,
                                                       std::uint64_t block, unsigned lane) {
  packed_lane own;
  for (unsigned j = 0; j < packed_elements_a_lane; ++j) {
    const std::uint64_t i = block * format_block + lane + j * warp_lanes;
    const unsigned r = run_of(runs, count, i);
    own.inside[j] = r < count;
    own.weight[j] = 0.0F;
    own.state[0][j] = load_state(s, a, 0, i);
    own.state[1][j] = Rule::states == 2 ? load_state(s, a, 1, i) : 0.0F;
    if (!own.inside[j]) continue;
    const update_scalars& k = runs[r].k;
    const float g = load_as(s.gradient.type, s.gradient.data, i) * k.gradient_scale;
    own.weight[j] = Rule::next(k, g, load_weight(s, i), own.state[0][j], own.state[1][j]);
  }
  return own;
}

// The random bits of the lane's elements of a block: one counter gives them all where keys begin
// with a block, two at most elsewhere.
struct lane_bits {
  std::uint16_t bits[packed_elements_a_lane];
};
[[nodiscard]] ZERO_HOST_DEVICE inline lane_bits bits_of_lane(const rounding_key& key,
                                                             std::uint64_t first_element) noexcept {
  lane_bits own;
  std::uint64_t known = counter_of(first_element);
  philox_words words = rounding_words(key, known);
  for (unsigned j = 0; j < packed_elements_a_lane; ++j) {
    const std::uint64_t element = first_element + j * warp_lanes;
    if (counter_of(element) != known) {
      known = counter_of(element);
      words = rounding_words(key, known);
    }
    own.bits[j] = part_of(words, element);
  }
  return own;
}

ZERO_HOST_DEVICE inline void store_weights(const packed_spans& s, const packed_lane& own,
                                           const rounding_key& key, std::uint64_t first,
                                           std::uint64_t key_of_first) {
  lane_bits random = {};
  if (s.formats.master == master_format::none) random = bits_of_lane(key, key_of_first);
  for (unsigned j = 0; j < packed_elements_a_lane; ++j) {
    if (!own.inside[j]) continue;
    const std::uint64_t i = first + j * warp_lanes;
    const float w = own.weight[j];
    const bool bf16 = s.parameter.type == dtype::bf16;
    auto* const brain = static_cast<bf16_t*>(s.parameter.data) + i;
    auto* const half = static_cast<fp16_t*>(s.parameter.data) + i;
    if (s.formats.master == master_format::none) {
      if (bf16) *brain = round_with(w, random.bits[j], bf16_t{});
      if (!bf16) *half = round_with(w, random.bits[j], fp16_t{});
    } else if (s.formats.master == master_format::remainder) {
      const split_weight both = split(w);
      *brain = both.parameter;
      static_cast<std::uint16_t*>(s.master)[i] = both.remainder;
    } else {
      static_cast<float*>(s.master)[i] = w;
      if (s.parameter.data == nullptr) continue;
      if (bf16) *brain = to_bf16(w);
      if (!bf16) *half = to_fp16(w);
    }
  }
}

// `largest`: of the whole block. A block of codes is written as a whole.
ZERO_HOST_DEVICE inline void store_state(const packed_spans& s, algorithm a, int state,
                                         const packed_lane& own, std::uint32_t largest,
                                         const rounding_key& key, std::uint64_t first,
                                         std::uint64_t key_of_first) {
  if (s.formats.states == state_format::fp32) {
    for (unsigned j = 0; j < packed_elements_a_lane; ++j) {
      const std::uint64_t i = first + j * warp_lanes;
      if (own.inside[j]) static_cast<float*>(s.state[state])[i] = own.state[state][j];
    }
    return;
  }
  const lane_bits random = bits_of_lane(key, key_of_first);
  if (s.formats.states == state_format::bf16) {
    for (unsigned j = 0; j < packed_elements_a_lane; ++j) {
      const std::uint64_t i = first + j * warp_lanes;
      if (!own.inside[j]) continue;
      static_cast<bf16_t*>(s.state[state])[i] =
          round_with(own.state[state][j], random.bits[j], bf16_t{});
    }
    return;
  }
  const code_kind kind = kind_of(a, state);
  const code_scale scale = code_scale_of(largest, kind);
  std::byte* const block = codes_of_block(s, state, first / format_block);
  for (unsigned j = 0; j < packed_elements_a_lane; ++j) {
    const std::uint8_t code = largest < infinity_bits
                                  ? code_with(own.state[state][j], random.bits[j], scale, kind)
                                  : std::uint8_t{0};
    block[first % format_block + j * warp_lanes] = static_cast<std::byte>(code);
  }
  if (first % format_block == 0) {
    std::memcpy(__builtin_assume_aligned(block + format_block, 4), &scale.unit, sizeof scale.unit);
  }
}

// Stores what update_lane gave, of a block in which some lane was touched.
template <class Rule>
ZERO_HOST_DEVICE void store_lane(const packed_spans& s, algorithm a, std::uint64_t step,
                                 const packed_lane& own, std::uint32_t largest0,
                                 std::uint32_t largest1, std::uint64_t block, unsigned lane) {
  const std::uint64_t first = block * format_block + lane;
  const std::uint64_t key_of_first = s.first_element + first;
  rounding_key key{s.seed, step, rounding_of::weight};
  store_weights(s, own, key, first, key_of_first);
  key.purpose = rounding_of::state0;
  store_state(s, a, 0, own, largest0, key, first, key_of_first);
  if constexpr (Rule::states == 2) {
    key.purpose = rounding_of::state1;
    store_state(s, a, 1, own, largest1, key, first, key_of_first);
  }
}

}  // namespace zero::optim::detail
