#pragma once
// What every communicator promises, as one suite: communicator_moves.cpp (what arrives where),
// communicator_behaviour.cpp (order, errors, memory, counts) and communicator_descriptors.cpp (what
// is compared before and recorded after). A backend compiles all of them and
// instantiates the suite with a way to run a body on all ranks of a world, and, if its memory is
// not the host's, a way to copy there and back:
//
//   INSTANTIATE_TEST_SUITE_P(name, communicator_contract, ::testing::Values(backend{...}));
//
// Expected values are closed forms over small integers, exact in every dtype, or a scalar loop of
// its own over the reference conversions.

#include <zero/base/dtype.hpp>
#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/collectives/communicator.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <ostream>
#include <random>
#include <string>
#include <vector>

namespace zero::testing {

using collectives::call;
using collectives::communicator;
using collectives::write_mode;

inline void copy_on_the_host(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

struct backend {
  std::string name;
  std::vector<int> sizes;
  // Runs the body on every rank of a fresh world; a failed expectation or exception of any rank
  // fails the test.
  std::function<void(int size, const std::function<void(communicator&)>&)> run;
  // Copies between the host's memory and the communicator's, either way. Done when it returns;
  // called only while nothing that is queued uses that memory.
  std::function<void(void* to, const void* from, std::size_t bytes)> copy = copy_on_the_host;
  // The host that the world must say a rank is on.
  std::function<int(int rank, int size)> host_of = [](int, int) { return 0; };
  std::string absent = {};  // why it cannot run here; empty if it can
  std::size_t turns = 1;    // of so many differences it shows one
};

inline std::ostream& operator<<(std::ostream& out, const backend& b) { return out << b.name; }

// ---- elements ---------------------------------------------------------------------------------

inline float read(const void* data, dtype type, std::size_t i) {
  switch (type) {
    case dtype::fp32:
      return static_cast<const float*>(data)[i];
    case dtype::bf16:
      return to_float(static_cast<const bf16_t*>(data)[i]);
    case dtype::fp16:
      return to_float(static_cast<const fp16_t*>(data)[i]);
    case dtype::byte:
      return static_cast<float>(static_cast<const std::uint8_t*>(data)[i]);
  }
  return 0;
}

inline void write(void* data, dtype type, std::size_t i, float value) {
  switch (type) {
    case dtype::fp32:
      static_cast<float*>(data)[i] = value;
      break;
    case dtype::bf16:
      static_cast<bf16_t*>(data)[i] = to_bf16(value);
      break;
    case dtype::fp16:
      static_cast<fp16_t*>(data)[i] = to_fp16(value);
      break;
    case dtype::byte:
      static_cast<std::uint8_t*>(data)[i] = static_cast<std::uint8_t>(value);
      break;
  }
}

// Random bits: denormals, infinities and NaN included.
inline void randomize(typed_span span, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  auto* const bytes = static_cast<std::uint8_t*>(span.data);
  for (std::size_t i = 0; i < span.bytes(); ++i) bytes[i] = static_cast<std::uint8_t>(random());
}

// The same bits, or both NaN.
inline bool same_value(const void* a, const void* b, dtype type, std::size_t i) {
  const std::size_t width = size_of(type);
  if (type != dtype::byte && std::isnan(read(a, type, i))) return std::isnan(read(b, type, i));
  return std::memcmp(static_cast<const char*>(a) + i * width,
                     static_cast<const char*>(b) + i * width, width) == 0;
}

// How many elements have other bits than those at `expected`.
inline std::size_t differing(typed_span found, const void* expected) {
  std::size_t differ = 0;
  for (std::size_t i = 0; i < found.count; ++i) {
    differ += !same_value(found.data, expected, found.type, i);
  }
  return differ;
}

// ---- memory -----------------------------------------------------------------------------------

enum class place { shared, foreign };

// Elements in the communicator's memory, wherever that is, or in the heap; and a copy of them that
// the test writes and reads.
class elements {
 public:
  elements(communicator& ranks, place where, std::size_t count, dtype type)
      : ranks_(ranks), where_(where), copy_(count * size_of(type) / 4 + 1) {
    span_ = {nullptr, count, type};
    if (where == place::shared) {
      span_.data = ranks.memory().allocate(span_.bytes());
    } else {
      heap_.resize(copy_.size());
      span_.data = heap_.data();
    }
  }
  elements(const elements&) = delete;
  elements& operator=(const elements&) = delete;
  ~elements() {
    if (where_ == place::shared) ranks_.memory().deallocate(span_.data, span_.bytes());
  }
  [[nodiscard]] typed_span span() const { return span_; }

  [[nodiscard]] typed_span copy() { return {copy_.data(), span_.count, span_.type}; }
  [[nodiscard]] float operator[](std::size_t i) const { return read(copy_.data(), span_.type, i); }
  void set(std::size_t i, float value) { write(copy_.data(), span_.type, i, value); }
  void put() { move(span_.data, copy_.data()); }
  void get() { move(copy_.data(), span_.data); }

  // Element i = value(i), and whether it is: how many are not.
  template <typename Value>
  void fill(Value value) {
    for (std::size_t i = 0; i < span_.count; ++i) set(i, value(i));
    put();
  }
  template <typename Value>
  [[nodiscard]] std::size_t wrong(Value value) {
    get();
    std::size_t found = 0;
    for (std::size_t i = 0; i < span_.count; ++i) found += (*this)[i] != value(i);
    return found;
  }

 private:
  void move(void* to, const void* from) {
    if (where_ == place::shared) {
      ::testing::WithParamInterface<backend>::GetParam().copy(to, from, span_.bytes());
    } else {
      copy_on_the_host(to, from, span_.bytes());
    }
  }

  communicator& ranks_;
  place where_;
  std::vector<std::uint32_t> copy_;
  std::vector<std::uint32_t> heap_;
  typed_span span_;
};

// ---- the suite --------------------------------------------------------------------------------

class communicator_contract : public ::testing::TestWithParam<backend> {
 protected:
  // Odd ones, none, fewer than ranks, one that needs several staged pieces.
  static constexpr std::size_t counts[] = {0, 1, 2, 31, 1009, 40009};
  static constexpr dtype arithmetic[] = {dtype::fp32, dtype::bf16, dtype::fp16};

  void SetUp() override {
    if (!GetParam().absent.empty()) GTEST_SKIP() << GetParam().absent;
  }

  static void each_world(const std::function<void(communicator&)>& body) {
    for (const int size : GetParam().sizes) {
      SCOPED_TRACE("world of " + std::to_string(size));
      GetParam().run(size, body);
    }
  }

  // A small integer that tells rank and position.
  static float pattern(int rank, std::size_t i) {
    return static_cast<float>((static_cast<std::size_t>(rank) * 3 + i) % 11);
  }

  static place place_of(int variant, int rank) {
    // 0: all shared, 1: all foreign, 2: every other rank foreign
    return variant == 1 || (variant == 2 && rank % 2 == 1) ? place::foreign : place::shared;
  }
};

inline std::string describe(dtype type, std::size_t count, int variant) {
  return std::string(name_of(type)) + " count " + std::to_string(count) + " variant " +
         std::to_string(variant);
}

}  // namespace zero::testing
