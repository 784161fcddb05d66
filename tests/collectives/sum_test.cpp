// The vector sum against a scalar loop over the reference conversions, bit for bit, on every
// instruction set this machine has.
#include "sum.hpp"

#include "support/sampling.hpp"

#include <zero/base/float16.hpp>

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace zero::collectives {
namespace {

template <typename T>
T narrow(float value) {
  if constexpr (std::is_same_v<T, bf16_t>) {
    return to_bf16(value);
  } else if constexpr (std::is_same_v<T, fp16_t>) {
    return to_fp16(value);
  } else {
    return value;
  }
}

template <typename T>
dtype type_of() {
  return std::is_same_v<T, float>    ? dtype::fp32
         : std::is_same_v<T, bf16_t> ? dtype::bf16
                                     : dtype::fp16;
}

template <typename T>
bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(to_float(a)) && std::isnan(to_float(b)));
}

template <typename T>
void fill(std::vector<T>& values, std::uint64_t seed) {
  std::minstd_rand random(static_cast<unsigned>(seed + 1));
  for (T& v : values) {
    const auto bits = static_cast<std::uint32_t>(random()) << 1;  // 31 bits: all but the last
    if constexpr (std::is_same_v<T, float>) {
      std::memcpy(&v, &bits, sizeof v);
    } else {
      v.bits = static_cast<std::uint16_t>(bits >> 16);
    }
  }
}

// `shift` elements off an aligned start; `extra` elements behind must stay as they are.
template <typename In, typename Out>
void check(std::size_t sources, std::size_t count, std::size_t shift, write_mode mode) {
  SCOPED_TRACE(std::to_string(sources) + " sources of " + std::to_string(count) + " " +
               name_of(type_of<In>()) + " into " + name_of(type_of<Out>()) + " from " +
               std::to_string(shift));
  const std::size_t extra = 3;
  std::vector<std::vector<In>> from(sources, std::vector<In>(count + shift));
  std::vector<const void*> pointers;
  for (std::size_t s = 0; s < sources; ++s) {
    fill(from[s], 17 * s + count);
    pointers.push_back(from[s].data() + shift);
  }
  std::vector<Out> out(shift + count + extra);
  fill(out, 99);
  std::vector<Out> expected = out;
  for (std::size_t i = 0; i < count; ++i) {
    float total = to_float(from[0][shift + i]);
    for (std::size_t s = 1; s < sources; ++s) total += to_float(from[s][shift + i]);
    if (mode == write_mode::accumulate) total = to_float(expected[shift + i]) + total;
    expected[shift + i] = narrow<Out>(total);
  }
  sum(pointers.data(), sources, type_of<In>(), out.data() + shift, type_of<Out>(), count, mode);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < out.size(); ++i) wrong += !same(out[i], expected[i]);
  EXPECT_EQ(wrong, 0u);
}

template <typename In, typename Out>
void check_lengths() {
  for (const write_mode mode : {write_mode::overwrite, write_mode::accumulate}) {
    for (const std::size_t sources : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 40}) {
      for (std::size_t count = sources % testing::sampled_each; count < 150;
           count += testing::sampled_each + count / 9) {
        check<In, Out>(sources, count, count % 5, mode);
      }
      check<In, Out>(sources, 4099, 1, mode);
    }
    for (const std::size_t sources : {3, 9}) {  // past the caches
      check<In, Out>(sources, (std::size_t{2} << 20) / sizeof(Out) + 1007, 3, mode);
    }
  }
}

TEST(sum, equals_the_scalar_loop_on_every_target) {
  for (std::int64_t targets = hwy::SupportedTargets(); targets != 0; targets &= targets - 1) {
    const std::int64_t one = targets & -targets;
    SCOPED_TRACE(hwy::TargetName(one));
    hwy::SetSupportedTargetsForTest(one);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    check_lengths<float, float>();
    check_lengths<bf16_t, bf16_t>();
    check_lengths<bf16_t, float>();
    check_lengths<fp16_t, fp16_t>();
    check_lengths<fp16_t, float>();
    hwy::SetSupportedTargetsForTest(0);
  }
  hwy::GetChosenTarget().DeInit();
}

TEST(sum, of_every_half_is_the_half) {
  std::vector<std::uint16_t> all(65536), out(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  const void* from[1] = {all.data()};
  sum(from, 1, dtype::fp16, out.data(), dtype::fp16, all.size(), write_mode::overwrite);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < all.size(); ++i) wrong += !same(fp16_t{out[i]}, fp16_t{all[i]});
  sum(from, 1, dtype::bf16, out.data(), dtype::bf16, all.size(), write_mode::overwrite);
  for (std::size_t i = 0; i < all.size(); ++i) wrong += !same(bf16_t{out[i]}, bf16_t{all[i]});
  EXPECT_EQ(wrong, 0u);
}

TEST(sum, into_one_of_its_sources) {
  for (const std::size_t count : {5, 1000, 600000}) {
    std::vector<float> a(count), b(count);
    for (std::size_t i = 0; i < count; ++i) {
      a[i] = static_cast<float>(i % 100);
      b[i] = 1000;
    }
    const void* from[2] = {a.data(), b.data()};
    sum(from, 2, dtype::fp32, b.data(), dtype::fp32, count, write_mode::accumulate);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < count; ++i) wrong += b[i] != 2000 + a[i];
    EXPECT_EQ(wrong, 0u);
  }
}

}  // namespace
}  // namespace zero::collectives
