#pragma once
// What the benchmarks of optim work on: large arrays on huge pages, faulted in and filled before
// anything is timed, and ranges of them run on several threads.

#include <zero/base/float16.hpp>
#include <zero/base/typed_span.hpp>

#include <sys/mman.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <thread>
#include <vector>

namespace zero::bench {

// Elements of every array, from the bytes of one of fp32: a multiple of what any case works in.
[[nodiscard]] inline std::size_t elements_of(std::uint64_t bytes) {
  return static_cast<std::size_t>(bytes) / sizeof(float) / 8192 * 8192;
}

// Pages of its own for `count` elements; lives until the process ends or it is destroyed.
template <typename T>
class huge_array {
 public:
  explicit huge_array(std::size_t count) : bytes_(count * sizeof(T)) {
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) throw std::bad_alloc();
    madvise(data_, bytes_, MADV_HUGEPAGE);
  }
  huge_array(const huge_array&) = delete;
  huge_array& operator=(const huge_array&) = delete;
  ~huge_array() { munmap(data_, bytes_); }
  [[nodiscard]] T* data() const { return static_cast<T*>(data_); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void* data_;
  std::size_t bytes_;
};

// Random signs and mantissas, magnitudes in [scale, 2 scale): never zero, never compressible.
class random_values {
 public:
  explicit random_values(float scale) : scale_(scale) {}
  float operator()() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    const auto bits = static_cast<std::uint32_t>(state_ >> 32);
    return scale_ * zero::detail::float_of(0x3f800000u | (bits & 0x807fffffu));
  }

 private:
  float scale_;
  std::uint64_t state_ = 1;
};

// The same random gradients in every dtype.
struct gradient_arrays {
  std::size_t count;
  huge_array<float> gradient32{count};
  huge_array<bf16_t> gradient_bf16{count};
  huge_array<fp16_t> gradient_fp16{count};

  explicit gradient_arrays(std::size_t elements) : count(elements) {
    random_values values(1e-3F);
    for (std::size_t i = 0; i < count; ++i) {
      const float g = values();
      gradient32.data()[i] = g;
      gradient_bf16.data()[i] = to_bf16(g);
      gradient_fp16.data()[i] = to_fp16(g);
    }
  }
  [[nodiscard]] const_typed_span gradient(dtype type) const {
    if (type == dtype::fp32) return {gradient32.data(), count, type};
    if (type == dtype::bf16) return {gradient_bf16.data(), count, type};
    return {gradient_fp16.data(), count, type};
  }
};

// The arrays of one fp32 master update.
struct arrays : gradient_arrays {
  huge_array<float> master{count}, state0{count}, state1{count};
  huge_array<bf16_t> parameter{count};  // of either 16-bit dtype

  explicit arrays(std::size_t elements) : gradient_arrays(elements) {
    random_values weights(0.02F), squares(1e-6F);
    for (std::size_t i = 0; i < count; ++i) {
      master.data()[i] = weights();
      state0.data()[i] = gradient32.data()[i];
      const float square = squares();
      state1.data()[i] = square < 0 ? -square : square;
      parameter.data()[i] = to_bf16(gradient32.data()[i]);
    }
  }
};

using range_work = std::function<void(std::size_t begin, std::size_t end)>;

// Seconds that `work(begin, end)` takes over `count` elements, cut into one range a thread.
inline double seconds_of(int threads, std::size_t count, const range_work& work) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> others;
  const std::size_t share = count / static_cast<std::size_t>(threads) / 128 * 128;
  for (int t = 1; t < threads; ++t) {
    const std::size_t begin = share * static_cast<std::size_t>(t);
    const std::size_t end = t + 1 == threads ? count : begin + share;
    others.emplace_back([&work, begin, end] { work(begin, end); });
  }
  work(0, threads == 1 ? count : share);
  for (std::thread& other : others) other.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace zero::bench
