#include "offload/cuda/plain_copies.hpp"

#include <zero/base/native_cuda.hpp>

#include <memory>

namespace zero::bench {
namespace {

// A stream and an event at either end of what is copied on it.
class timed_stream {
 public:
  explicit timed_stream(cuda_device& device) : queue_(device.make_stream(lane::copy_in)) {
    const cuda::current_device here(device.ordinal());
    cuda::checked(cudaEventCreate(&begin_), "cudaEventCreate");
    cuda::checked(cudaEventCreate(&end_), "cudaEventCreate");
  }
  timed_stream(const timed_stream&) = delete;
  timed_stream& operator=(const timed_stream&) = delete;
  ~timed_stream() {
    cuda::unchecked(cudaEventDestroy(begin_));
    cuda::unchecked(cudaEventDestroy(end_));
  }
  double copy(void* to, const void* from, std::size_t bytes, std::size_t piece) {
    cudaStream_t const on = cuda::native(*queue_);
    cuda::checked(cudaEventRecord(begin_, on), "cudaEventRecord");
    for (std::size_t at = 0; at < bytes; at += piece) {
      cuda::checked(cudaMemcpyAsync(static_cast<std::byte*>(to) + at,
                                    static_cast<const std::byte*>(from) + at,
                                    piece < bytes - at ? piece : bytes - at, cudaMemcpyDefault, on),
                    "cudaMemcpyAsync");
    }
    cuda::checked(cudaEventRecord(end_, on), "cudaEventRecord");
    cuda::checked(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    cuda::checked(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return milliseconds * 1e-3;
  }

 private:
  std::unique_ptr<stream> queue_;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

}  // namespace

plain_copies make_plain_copies(cuda_device& device) {
  const auto copies = std::make_shared<timed_stream>(device);
  return [copies](void* to, const void* from, std::size_t bytes, std::size_t piece) {
    return copies->copy(to, from, bytes, piece);
  };
}

}  // namespace zero::bench
