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

// Elements of every array: 128 MiB of the smallest dtype, 256 MiB of fp32.
inline constexpr std::size_t element_count = std::size_t{64} << 20;

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

// The arrays of one fp32 master update, shared by all benchmarks.
struct arrays {
  huge_array<float> master{element_count}, state0{element_count}, state1{element_count};
  huge_array<float> gradient32{element_count};
  huge_array<bf16_t> gradient_bf16{element_count};
  huge_array<fp16_t> gradient_fp16{element_count};
  huge_array<bf16_t> parameter{element_count};  // of either 16-bit dtype

  arrays() {
    random_values weights(0.02F), gradients(1e-3F), squares(1e-6F);
    for (std::size_t i = 0; i < element_count; ++i) {
      const float g = gradients();
      master.data()[i] = weights();
      state0.data()[i] = g;
      const float square = squares();
      state1.data()[i] = square < 0 ? -square : square;
      gradient32.data()[i] = g;
      gradient_bf16.data()[i] = to_bf16(g);
      gradient_fp16.data()[i] = to_fp16(g);
      parameter.data()[i] = to_bf16(g);
    }
  }
  [[nodiscard]] const_typed_span gradient(dtype type) const {
    if (type == dtype::fp32) return {gradient32.data(), element_count, type};
    if (type == dtype::bf16) return {gradient_bf16.data(), element_count, type};
    return {gradient_fp16.data(), element_count, type};
  }
};

// Seconds that `work(begin, end)` takes over all elements, cut into one range a thread.
inline double seconds_of(int threads, const std::function<void(std::size_t, std::size_t)>& work) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> others;
  const std::size_t share = element_count / static_cast<std::size_t>(threads) / 64 * 64;
  for (int t = 1; t < threads; ++t) {
    const std::size_t begin = share * static_cast<std::size_t>(t);
    const std::size_t end = t + 1 == threads ? element_count : begin + share;
    others.emplace_back([&work, begin, end] { work(begin, end); });
  }
  work(0, threads == 1 ? element_count : share);
  for (std::thread& other : others) other.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace zero::bench
