#pragma once
// Test elements of every dtype: realistic and nasty values, and comparison bit for bit.

#include <zero/base/float16.hpp>
#include <zero/base/typed_span.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace zero::testing {

inline float nasty_value(std::mt19937_64& random) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  constexpr float specials[] = {
      0.0F,     -0.0F,      0x1p-149F, -0x1p-149F,  0x1.8p-130F, 0x1p-126F, -0x1p-24F,
      0x1p-25F, 0x1.8p-15F, 65504.0F,  65520.0F,    -65519.0F,   infinity,  -infinity,
      3.4e38F,  -3.4e38F,   1.0F,      0x1.ffp127F, 1e-20F,      1e20F,     std::nanf("1")};
  const std::uint64_t kind = random() % 4;
  if (kind == 0) return specials[random() % std::size(specials)];
  if (kind == 1) return zero::detail::float_of(static_cast<std::uint32_t>(random()));  // any bits
  return std::normal_distribution<float>(0.0F, 1e-2F)(random);
}

inline float normal_value(std::mt19937_64& random) {
  return std::normal_distribution<float>(0.0F, 1e-2F)(random);
}

// `count` elements after `offset` unused ones; canaries around them must never change.
class elements {
 public:
  elements(dtype type, std::size_t count, std::size_t offset)
      : type_(type), count_(count), offset_(offset), bytes_((offset + count + 64) * size_of(type)) {
    for (std::size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<unsigned char>(i * 37);
  }
  template <typename F>
  void fill(const F& value) {
    for (std::size_t i = 0; i < count_; ++i) {
      const float v = value();
      if (type_ == dtype::fp32) put(i, v);
      if (type_ == dtype::bf16) put(i, to_bf16(v));
      if (type_ == dtype::fp16) put(i, to_fp16(v));
    }
  }
  [[nodiscard]] typed_span span() { return {begin(), count_, type_}; }
  [[nodiscard]] float* floats() { return reinterpret_cast<float*>(begin()); }
  [[nodiscard]] float at(std::size_t i) const {
    if (type_ == dtype::fp32) return get<float>(i);
    if (type_ == dtype::bf16) return to_float(get<bf16_t>(i));
    return to_float(get<fp16_t>(i));
  }
  [[nodiscard]] const std::vector<unsigned char>& bytes() const { return bytes_; }
  // All of it, canaries included; the elements begin at byte `first_byte()`.
  [[nodiscard]] std::vector<unsigned char>& bytes() { return bytes_; }
  [[nodiscard]] std::size_t first_byte() const { return offset_ * size_of(type_); }

  // Bit for bit, canaries included; where both are NaN which NaN does not matter.
  friend void expect_same(const elements& a, const elements& b) {
    if (a.bytes_ == b.bytes_) return;
    ASSERT_EQ(a.bytes_.size(), b.bytes_.size());
    for (std::size_t i = 0; i < a.bytes_.size(); ++i) {
      const std::size_t begin = a.offset_ * size_of(a.type_);
      const bool inside = i >= begin && i < begin + a.count_ * size_of(a.type_);
      if (inside) continue;
      ASSERT_EQ(a.bytes_[i], b.bytes_[i]) << "written outside, byte " << i;
    }
    for (std::size_t i = 0; i < a.count_; ++i) {
      const float x = a.at(i);
      const float y = b.at(i);
      if (std::isnan(x) && std::isnan(y)) continue;
      ASSERT_EQ(zero::detail::bits_of(x), zero::detail::bits_of(y))
          << "element " << i << " of " << a.count_ << ": " << x << " and " << y;
    }
  }

 private:
  [[nodiscard]] unsigned char* begin() { return bytes_.data() + offset_ * size_of(type_); }
  template <typename T>
  void put(std::size_t i, T value) {
    std::memcpy(begin() + i * sizeof(T), &value, sizeof(T));
  }
  template <typename T>
  [[nodiscard]] T get(std::size_t i) const {
    T value;
    std::memcpy(&value, bytes_.data() + (offset_ + i) * sizeof(T), sizeof(T));
    return value;
  }

  dtype type_;
  std::size_t count_;
  std::size_t offset_;
  std::vector<unsigned char> bytes_;
};

}  // namespace zero::testing
