#pragma once
// What the sources of every room that know CUDA share: how a call is checked, a device made
// current, a kernel launched. Not installed; seen by backends that are linked with zero_cuda.
//
// Thread-safe.

#include <zero/base/cuda.hpp>

#include <cuda_runtime_api.h>

namespace zero::cuda {

// Throws cuda_error unless `code` is success; of class resource where memory ran out. `call` is
// what was called. Clears the runtime's last error, so that no later check reports it again.
void checked(cudaError_t code, const char* call);

// The same where nothing may be thrown: destructors. The error, if it is one that stays, is
// reported by the next call that may.
void unchecked(cudaError_t code) noexcept;

// Makes a device current for the calling thread, and the one that was again when it ends.
class current_device {
 public:
  explicit current_device(int ordinal);
  current_device(const current_device&) = delete;
  current_device& operator=(const current_device&) = delete;
  ~current_device();

 private:
  int before_ = -1;
  int ordinal_;
};

[[nodiscard]] inline cudaStream_t native(const stream& queue) noexcept {
  return static_cast<cudaStream_t>(queue.native());
}

#ifdef __CUDACC__
// kernel<<<blocks, threads, shared bytes, queue>>>(arguments...), checked. The device of `queue`
// must be current.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), unsigned blocks, unsigned threads,
            std::size_t shared, cudaStream_t queue, Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared;
  config.stream = queue;
  checked(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), name);
}
#endif

}  // namespace zero::cuda
