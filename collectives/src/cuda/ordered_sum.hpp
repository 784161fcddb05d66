#pragma once
// ordered_sum: the sum of sum.hpp as the threads of a device share it out, and nothing that needs a
// device: the same functions run on the host, where tests run every thread in turn.
//
// The elements are cut into a head, packs and a tail. A pack is as many elements of a source as 16
// bytes hold. If every array starts a pack at the same element, packs are read and written by
// accesses of 16 bytes; arrays that lie differently make all of it head, element by element.
// Neighbouring threads take neighbouring packs; a thread reads one pack of several sources before
// it adds the first.

#include <zero/base/float16.hpp>
#include <zero/base/host_device.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::collectives::detail {

inline constexpr std::size_t most_summed = 64;     // sources, all of them in a kernel's parameters
inline constexpr unsigned threads_of_block = 256;  // of the kernel
inline constexpr unsigned sources_in_flight = 4;   // whose packs a thread reads before it adds them

struct summands {
  const void* from[most_summed];
  void* out;
  std::size_t count;  // elements
  std::size_t head;   // elements
  std::size_t packs;
  unsigned sources;
  bool accumulates;
};

struct alignas(16) chunk {
  std::uint32_t words[4];
};

template <class In>
inline constexpr std::size_t pack_of = sizeof(chunk) / sizeof(In);

// Element j of a pack.
template <class In>
[[nodiscard]] ZERO_HOST_DEVICE inline float element_of(const chunk& c, std::size_t j) noexcept;
template <>
[[nodiscard]] ZERO_HOST_DEVICE inline float element_of<float>(const chunk& c,
                                                              std::size_t j) noexcept {
  return zero::detail::float_of(c.words[j]);
}
template <>
[[nodiscard]] ZERO_HOST_DEVICE inline float element_of<bf16_t>(const chunk& c,
                                                               std::size_t j) noexcept {
  return to_float(bf16_t{static_cast<std::uint16_t>(c.words[j / 2] >> (j % 2 * 16))});
}
template <>
[[nodiscard]] ZERO_HOST_DEVICE inline float element_of<fp16_t>(const chunk& c,
                                                               std::size_t j) noexcept {
  return to_float(fp16_t{static_cast<std::uint16_t>(c.words[j / 2] >> (j % 2 * 16))});
}

ZERO_HOST_DEVICE inline std::uint32_t stored_bits(float value, const float*) noexcept {
  return zero::detail::bits_of(value);
}
ZERO_HOST_DEVICE inline std::uint32_t stored_bits(float value, const bf16_t*) noexcept {
  return to_bf16(value).bits;
}
ZERO_HOST_DEVICE inline std::uint32_t stored_bits(float value, const fp16_t*) noexcept {
  return to_fp16(value).bits;
}
ZERO_HOST_DEVICE inline void store_element(float value, float* to) noexcept { *to = value; }
ZERO_HOST_DEVICE inline void store_element(float value, bf16_t* to) noexcept {
  *to = to_bf16(value);
}
ZERO_HOST_DEVICE inline void store_element(float value, fp16_t* to) noexcept {
  *to = to_fp16(value);
}

// One element: the definition of sum.hpp.
template <class In, class Out>
ZERO_HOST_DEVICE inline void sum_element(const summands& s, std::size_t i) noexcept {
  float total = to_float(static_cast<const In*>(s.from[0])[i]);
  for (unsigned k = 1; k < s.sources; ++k) {
    total = total + to_float(static_cast<const In*>(s.from[k])[i]);
  }
  Out* const out = static_cast<Out*>(s.out) + i;
  if (s.accumulates) total = to_float(*out) + total;
  store_element(total, out);
}

// Chunks of the output that a pack of the input fills: 2 where 16-bit elements become fp32.
template <class In, class Out>
inline constexpr std::size_t chunks_of = sizeof(Out) / sizeof(In);

template <class In>
[[nodiscard]] ZERO_HOST_DEVICE inline chunk load_chunk(const void* from,
                                                       std::size_t first) noexcept {
  return *reinterpret_cast<const chunk*>(static_cast<const In*>(from) + first);
}

// The pack that starts at element `first`.
template <class In, class Out>
ZERO_HOST_DEVICE inline void sum_pack(const summands& s, std::size_t first) noexcept {
  constexpr std::size_t n = pack_of<In>;
  constexpr std::size_t m = pack_of<Out>;
  float total[n];
  const chunk begin = load_chunk<In>(s.from[0], first);
  for (std::size_t j = 0; j < n; ++j) total[j] = element_of<In>(begin, j);
  for (unsigned k = 1; k < s.sources; k += sources_in_flight) {
    chunk read[sources_in_flight];
    for (unsigned u = 0; u < sources_in_flight; ++u) {
      if (k + u < s.sources) read[u] = load_chunk<In>(s.from[k + u], first);
    }
    for (unsigned u = 0; u < sources_in_flight; ++u) {
      if (k + u >= s.sources) continue;
      for (std::size_t j = 0; j < n; ++j) total[j] = total[j] + element_of<In>(read[u], j);
    }
  }
  chunk* const out = reinterpret_cast<chunk*>(static_cast<Out*>(s.out) + first);
  for (std::size_t c = 0; c < chunks_of<In, Out>; ++c) {
    if (s.accumulates) {
      const chunk before = out[c];
      for (std::size_t j = 0; j < m; ++j) {
        total[c * m + j] = element_of<Out>(before, j) + total[c * m + j];
      }
    }
    chunk made{};
    for (std::size_t j = 0; j < m; ++j) {
      const std::uint32_t bits = stored_bits(total[c * m + j], static_cast<const Out*>(nullptr));
      made.words[j * sizeof(Out) / 4] |= bits << (j * sizeof(Out) % 4 * 8);
    }
    out[c] = made;
  }
}

// What thread `thread` of `threads` does. Whatever their number, every element is done once.
template <class In, class Out>
ZERO_HOST_DEVICE inline void sum_thread(const summands& s, std::size_t thread,
                                        std::size_t threads) noexcept {
  for (std::size_t p = thread; p < s.packs; p += threads) {
    sum_pack<In, Out>(s, s.head + p * pack_of<In>);
  }
  const std::size_t packed = s.packs * pack_of<In>;
  for (std::size_t i = thread; i < s.count - packed; i += threads) {
    sum_element<In, Out>(s, i < s.head ? i : i + packed);
  }
}

// Fills in head and packs.
template <class In, class Out>
inline void cut(summands& s) noexcept {
  constexpr std::size_t n = pack_of<In>;
  const auto address = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p); };
  const std::size_t head = (n - address(s.from[0]) / sizeof(In) % n) % n;
  bool alike = head + n <= s.count;
  for (unsigned k = 0; k < s.sources; ++k) {
    alike = alike && (address(s.from[k]) + head * sizeof(In)) % sizeof(chunk) == 0;
  }
  alike = alike && (address(s.out) + head * sizeof(Out)) % sizeof(chunk) == 0;
  s.head = alike ? head : s.count;
  s.packs = alike ? (s.count - head) / n : 0;
}

// Blocks that have something to do, each thread once.
template <class In>
[[nodiscard]] inline std::size_t blocks_of(const summands& s) noexcept {
  const std::size_t singles = s.count - s.packs * pack_of<In>;
  const std::size_t most = s.packs > singles ? s.packs : singles;
  return (most + threads_of_block - 1) / threads_of_block;
}

}  // namespace zero::collectives::detail
