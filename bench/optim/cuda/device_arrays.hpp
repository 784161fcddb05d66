#pragma once
// What the benchmarks of a GPU work on, and how they time it: device arrays filled once, events
// around what is queued, medians over turns with the ceiling's.

#include <zero/base/cuda.hpp>
#include <zero/base/native_cuda.hpp>
#include <zero/base/typed_span.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace zero::bench {

// A block of device memory for as long as it lives.
class device_array {
 public:
  device_array(cuda_device& device, std::size_t count, dtype type)
      : device_(device), span_{device.memory().allocate(count * size_of(type)), count, type} {}
  device_array(const device_array&) = delete;
  device_array& operator=(const device_array&) = delete;
  ~device_array() { device_.memory().deallocate(span_.data, span_.bytes()); }
  [[nodiscard]] const typed_span& span() const { return span_; }
  [[nodiscard]] float* floats() const { return static_cast<float*>(span_.data); }

 private:
  cuda_device& device_;
  typed_span span_;
};

// Seconds on the device between two points of a stream.
class stopwatch {
 public:
  explicit stopwatch(cudaStream_t queue) : queue_(queue) {
    cuda::checked(cudaEventCreate(&begin_), "cudaEventCreate");
    cuda::checked(cudaEventCreate(&end_), "cudaEventCreate");
  }
  stopwatch(const stopwatch&) = delete;
  stopwatch& operator=(const stopwatch&) = delete;
  ~stopwatch() {
    cuda::unchecked(cudaEventDestroy(begin_));
    cuda::unchecked(cudaEventDestroy(end_));
  }
  [[nodiscard]] double seconds_of(const std::function<void()>& work) {
    cuda::checked(cudaEventRecord(begin_, queue_), "cudaEventRecord");
    work();
    cuda::checked(cudaEventRecord(end_, queue_), "cudaEventRecord");
    cuda::checked(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    cuda::checked(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return milliseconds * 1e-3;
  }

 private:
  cudaStream_t queue_;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Fills with random signs and mantissas, magnitudes in [scale, 2 scale), all positive if asked.
void fill(cudaStream_t queue, const typed_span& values, float scale, bool positive);

// The plainest kernel that copies, 16 bytes an access. `bytes`: a multiple of 16.
void copy_by_kernel(cudaStream_t queue, const void* from, void* to, std::size_t bytes);

}  // namespace zero::bench
