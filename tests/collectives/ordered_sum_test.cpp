// The kernel of ordered sums, every thread of it in turn on the host, against sum.cpp bit for bit.
#include "cuda/ordered_sum.hpp"

#include "device/queue.hpp"
#include "sum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

namespace sums = collectives::detail;
using collectives::write_mode;

static_assert(sums::most_summed == collectives::most_sources);

template <class T>
inline constexpr dtype dtype_of = dtype::fp32;
template <>
inline constexpr dtype dtype_of<bf16_t> = dtype::bf16;
template <>
inline constexpr dtype dtype_of<fp16_t> = dtype::fp16;

// Memory that starts at a multiple of 16 bytes, and beyond it `offset` elements of T.
template <class T>
struct array {
  array(std::size_t count, std::size_t offset) : chunks((count + offset) * sizeof(T) / 16 + 2) {
    at = reinterpret_cast<T*>(chunks.data()) + offset;
  }
  std::vector<sums::chunk> chunks;
  T* at;
};

struct shape {
  std::size_t count, sources, out_offset;
  bool one_differs;  // the last source starts elsewhere in its 16 bytes
  write_mode mode;
};

std::string describe(const shape& s) {
  return std::to_string(s.count) + " elements of " + std::to_string(s.sources) + " sources at " +
         std::to_string(s.out_offset) + (s.one_differs ? ", one apart" : "") +
         (s.mode == write_mode::accumulate ? ", accumulating" : "");
}

template <class In, class Out>
void run_every_thread(const sums::summands& s, std::size_t threads) {
  // Backwards: no thread may need another one's work.
  for (std::size_t t = threads; t-- > 0;) sums::sum_thread<In, Out>(s, t, threads);
}

// NaN payloads of sums are left open.
template <class Out>
std::size_t differing(const Out* a, const Out* b, std::size_t count) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const bool both = std::isnan(to_float(a[i])) && std::isnan(to_float(b[i]));
    found += !both && std::memcmp(a + i, b + i, sizeof(Out)) != 0;
  }
  return found;
}

template <class In, class Out>
void check(const shape& how, std::size_t grid, std::mt19937_64& random) {
  SCOPED_TRACE(describe(how));
  std::vector<array<In>> in;
  sums::summands s{};
  for (std::size_t k = 0; k < how.sources; ++k) {
    const bool apart = how.one_differs && k + 1 == how.sources;
    in.emplace_back(how.count, (how.out_offset + (apart ? 1 : 0)) % sums::pack_of<In>);
    auto* const bytes = reinterpret_cast<unsigned char*>(in.back().at);
    for (std::size_t i = 0; i < how.count * sizeof(In); ++i) {
      bytes[i] = static_cast<unsigned char>(random());
    }
    s.from[k] = in.back().at;
  }
  array<Out> out(how.count + 1, how.out_offset), expected(how.count + 1, how.out_offset);
  for (std::size_t i = 0; i <= how.count; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    std::memcpy(static_cast<void*>(out.at + i), &bits, sizeof(Out));
    expected.at[i] = out.at[i];
  }
  collectives::sum(s.from, how.sources, dtype_of<In>, expected.at, dtype_of<Out>, how.count,
                   how.mode);
  s.out = out.at;
  s.count = how.count;
  s.sources = static_cast<unsigned>(how.sources);
  s.accumulates = how.mode == write_mode::accumulate;
  sums::cut<In, Out>(s);
  if (how.count >= 4 * sums::pack_of<In>) {
    EXPECT_EQ(s.packs > 0, !(how.one_differs && how.sources > 0));
  }
  const std::size_t blocks = std::min(sums::blocks_of<In>(s), grid);
  run_every_thread<In, Out>(s, blocks * sums::threads_of_block);
  EXPECT_EQ(differing(out.at, expected.at, how.count), 0u);
  EXPECT_EQ(std::memcmp(out.at + how.count, expected.at + how.count, sizeof(Out)), 0);
}

template <class In, class Out>
void check_all() {
  std::mt19937_64 random(1);
  for (const std::size_t count : {1, 2, 3, 7, 8, 9, 31, 64, 257, 4099, 40009}) {
    for (const std::size_t sources : {1, 2, 3, 4, 5, 6, 9, 17, 64}) {
      if (count > 5000 && sources > 6) continue;
      for (const write_mode mode : {write_mode::overwrite, write_mode::accumulate}) {
        // The same element for the output as for the sources, as far as its own 16 bytes go.
        const std::size_t offset = random() % sums::pack_of<In>;
        check<In, Out>({count, sources, offset, false, mode}, 3, random);
        check<In, Out>({count, sources, offset, true, mode}, 1000, random);
      }
    }
  }
}

TEST(ordered_sum, of_fp32) { check_all<float, float>(); }
TEST(ordered_sum, of_bf16) { check_all<bf16_t, bf16_t>(); }
TEST(ordered_sum, of_fp16) { check_all<fp16_t, fp16_t>(); }
TEST(ordered_sum, of_bf16_into_fp32) { check_all<bf16_t, float>(); }
TEST(ordered_sum, of_fp16_into_fp32) { check_all<fp16_t, float>(); }

TEST(ordered_sum, in_place_of_any_source) {
  std::mt19937_64 random(2);
  for (std::size_t at = 0; at < 6; ++at) {
    std::vector<array<bf16_t>> in;
    sums::summands s{};
    for (std::size_t k = 0; k < 6; ++k) {
      in.emplace_back(1009, 3);
      for (std::size_t i = 0; i < 1009; ++i) {
        in.back().at[i] = to_bf16(static_cast<float>(random() % 1000) / 7);
      }
      s.from[k] = in.back().at;
    }
    std::vector<bf16_t> expected(1009);
    collectives::sum(s.from, 6, dtype::bf16, expected.data(), dtype::bf16, 1009,
                     write_mode::overwrite);
    s.out = in[at].at;
    s.count = 1009;
    s.sources = 6;
    sums::cut<bf16_t, bf16_t>(s);
    EXPECT_GT(s.packs, 0u);
    run_every_thread<bf16_t, bf16_t>(s, 512);
    EXPECT_EQ(differing(in[at].at, expected.data(), 1009), 0u);
  }
}

// Every element once, whatever the grid: counted, not summed.
TEST(ordered_sum, grids_cover_every_element_once) {
  for (const std::size_t count : {1, 5, 1000, 4099}) {
    for (const std::size_t threads : {1, 7, 256, 5000}) {
      array<float> in(count, 1), out(count, 1);
      sums::summands s{};
      s.from[0] = in.at;
      s.out = out.at;
      s.count = count;
      s.sources = 1;
      s.accumulates = true;
      std::fill(in.at, in.at + count, 1.0f);
      std::fill(out.at, out.at + count, 0.0f);
      sums::cut<float, float>(s);
      run_every_thread<float, float>(s, threads);
      EXPECT_EQ(std::count(out.at, out.at + count, 1.0f), static_cast<std::ptrdiff_t>(count));
    }
  }
}

}  // namespace
}  // namespace zero::testing
