#pragma once
// launch: kernels around the bodies, which are the same for the host and the device.

#include "trainer/cuda/thread_block.hpp"

#include <zero/base/native_cuda.hpp>

#include <cstddef>

namespace zero::trainer::cuda {

template <typename Body>
__global__ void __launch_bounds__(256) each_index_kernel(Body body, std::size_t count) {
  const std::size_t index = static_cast<std::size_t>(blockIdx.x) * 256 + threadIdx.x;
  if (index < count) body(index);
}

// body(i) for every i below count, a thread each.
template <typename Body>
void each_index(const char* name, cudaStream_t queue, std::size_t count, const Body& body) {
  if (count == 0) return;
  zero::cuda::launch(name, each_index_kernel<Body>, static_cast<unsigned>((count + 255) / 256), 256,
                     0, queue, body, count);
}

// The shared memory of the block.
__device__ __forceinline__ void* shared_memory() {
  extern __shared__ uint4 shared[];
  return shared;
}

}  // namespace zero::trainer::cuda
