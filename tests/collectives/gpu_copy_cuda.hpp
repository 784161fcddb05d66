#pragma once
// Copies between the host and GPUs for the contract, and why there may be none.

#include <zero/base/cuda.hpp>

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <string>

namespace zero::testing {

inline void copy_by_gpu(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  ASSERT_EQ(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

inline std::string why_no_gpu() {
  return cuda_device::count() > 0 ? "" : "no GPU: " + cuda_device::why_none();
}

}  // namespace zero::testing
