#pragma once
// thread_block: the threads of one block, so that a kernel's body is one function for the device
// and for the host. A body is a sequence of phases; in each, every thread does the same. On a
// device a phase is the calling thread's own part; on the host it is a loop over all threads, so
// tests run the very index arithmetic that a device will.
//
// Threads may exchange values only through memory, with sync() between the phases, and through the
// functions below. What a thread keeps from phase to phase is a per_thread.

#include "trainer/cuda/host_device.hpp"

#include <cstddef>
#include <cstdint>

namespace zero::trainer::cuda {

inline constexpr int warp_size = 32;

template <int Threads>
class thread_block {
 public:
  static constexpr int threads = Threads;
  static constexpr int warps = Threads / warp_size;

  // A value of each thread: on a device one register, or as many as Value has.
  template <typename Value>
  struct per_thread {
#if defined(__CUDA_ARCH__)
    ZERO_TRAINER_BOTH Value& operator[](int) { return value; }
    ZERO_TRAINER_BOTH const Value& operator[](int) const { return value; }
    Value value;
#else
    Value& operator[](int thread) { return values[thread]; }
    const Value& operator[](int thread) const { return values[thread]; }
    Value values[Threads];
#endif
  };

#if !defined(__CUDA_ARCH__)
  // The order in which the host runs threads within a phase. Results must not depend on it.
  explicit thread_block(bool backwards = false) : backwards_(backwards) {}
#endif

  template <typename Phase>
  ZERO_TRAINER_BOTH void each(const Phase& phase) const {
#if defined(__CUDA_ARCH__)
    phase(static_cast<int>(threadIdx.x));
#else
    for (int i = 0; i < Threads; ++i) phase(backwards_ ? Threads - 1 - i : i);
#endif
  }

  // What was written to memory before is seen by all threads after.
  ZERO_TRAINER_BOTH void sync() const {
#if defined(__CUDA_ARCH__)
    __syncthreads();
#endif
  }

  // value[t] = the combination over lanes [t / Width * Width, + Width) of a warp, by halves that
  // lie Width / 2 apart, then Width / 4, ...; the same bits in each.
  template <int Width, typename Value, typename Combine>
  ZERO_TRAINER_BOTH void combine(per_thread<Value>& value, const Combine& both) const {
    for (int apart = Width / 2; apart > 0; apart /= 2) {
#if defined(__CUDA_ARCH__)
      value.value = both(value.value, __shfl_xor_sync(0xffffffffu, value.value, apart));
#else
      per_thread<Value> before = value;
      for (int t = 0; t < Threads; ++t) value[t] = both(before[t], before[t ^ apart]);
#endif
    }
  }

  template <int Width>
  ZERO_TRAINER_BOTH void sum(per_thread<float>& value) const {
    combine<Width>(value, [](float a, float b) { return a + b; });
  }

 private:
#if !defined(__CUDA_ARCH__)
  bool backwards_;
#endif
};

}  // namespace zero::trainer::cuda
