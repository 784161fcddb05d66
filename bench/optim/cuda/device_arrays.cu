#include "device_arrays.hpp"

#include <zero/base/float16.hpp>

namespace zero::bench {
namespace {

constexpr unsigned threads = 256;

template <class T>
__global__ void fill_values(T* values, std::size_t count, float scale, bool positive) {
  const std::size_t stride = std::size_t{gridDim.x} * threads;
  for (std::size_t i = blockIdx.x * threads + threadIdx.x; i < count; i += stride) {
    std::uint64_t state = (i + 1) * 6364136223846793005u;  // mixed: neighbours differ in all bits
    state ^= state >> 29;
    state *= 0xbf58476d1ce4e5b9u;
    const auto bits = static_cast<std::uint32_t>(state >> 32);
    const std::uint32_t kept = positive ? 0x007fffffu : 0x807fffffu;
    const float value = scale * zero::detail::float_of(0x3f800000u | (bits & kept));
    if constexpr (sizeof(T) == 4) {
      values[i] = value;
    } else {
      values[i] = to_bf16(value);
    }
  }
}

__global__ void copy_words(const uint4* from, uint4* to, std::size_t count) {
  constexpr unsigned at_once = 4;
  const std::size_t first = std::size_t{blockIdx.x} * threads * at_once + threadIdx.x;
  uint4 words[at_once];
  for (unsigned u = 0; u < at_once; ++u) {
    const std::size_t i = first + u * threads;
    words[u] = from[i < count ? i : count - 1];
  }
  for (unsigned u = 0; u < at_once; ++u) {
    const std::size_t i = first + u * threads;
    if (i < count) to[i] = words[u];
  }
}

}  // namespace

void fill(cudaStream_t queue, const typed_span& values, float scale, bool positive) {
  constexpr unsigned blocks = 4096;
  if (values.type == dtype::fp32) {
    cuda::launch("fill_values", fill_values<float>, blocks, threads, 0, queue, values.data,
                 values.count, scale, positive);
  } else {
    cuda::launch("fill_values", fill_values<bf16_t>, blocks, threads, 0, queue, values.data,
                 values.count, scale, positive);
  }
}

void copy_by_kernel(cudaStream_t queue, const void* from, void* to, std::size_t bytes) {
  const std::size_t count = bytes / 16;
  const std::size_t blocks = (count + threads * 4 - 1) / (threads * 4);
  cuda::launch("copy_words", copy_words, static_cast<unsigned>(blocks), threads, 0, queue,
               static_cast<const uint4*>(from), static_cast<uint4*>(to), count);
}

}  // namespace zero::bench
