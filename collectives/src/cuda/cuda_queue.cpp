#include "cuda/cuda_queue.hpp"

#include "cuda/ordered_sum_cuda.hpp"

#include <zero/base/native_cuda.hpp>

#include <cuda_runtime_api.h>

#include <vector>

namespace zero::collectives {
namespace {

using cuda::checked;
using cuda::current_device;
using cuda::unchecked;

// Events belong to the device's primary context, which stays as long as the process.
class cuda_events final : public event_ring {
 public:
  cuda_events(int ordinal, std::size_t slots) {
    const current_device here(ordinal);
    events_.reserve(slots);
    try {
      for (std::size_t i = 0; i < slots; ++i) {
        cudaEvent_t made = nullptr;
        checked(cudaEventCreateWithFlags(&made, cudaEventDisableTiming),
                "cudaEventCreateWithFlags");
        events_.push_back(made);
      }
    } catch (...) {
      release();
      throw;
    }
  }
  ~cuda_events() override { release(); }

  void record(std::size_t slot, stream& on) override {
    checked(cudaEventRecord(events_[slot], cuda::native(on)), "cudaEventRecord");
  }
  void order(std::size_t slot, stream& later) override {
    checked(cudaStreamWaitEvent(cuda::native(later), events_[slot], 0), "cudaStreamWaitEvent");
  }
  [[nodiscard]] bool done(std::size_t slot) override {
    const cudaError_t state = cudaEventQuery(events_[slot]);
    if (state == cudaErrorNotReady) {
      static_cast<void>(cudaGetLastError());  // an answer, not an error for the next check
      return false;
    }
    checked(state, "work queued by a collective");
    return true;
  }

 private:
  void release() noexcept {
    for (cudaEvent_t event : events_) unchecked(cudaEventDestroy(event));
  }
  std::vector<cudaEvent_t> events_;
};

class cuda_queue final : public device_queue {
 public:
  explicit cuda_queue(cuda_device& device)
      : device_(device), lane_(device.make_stream(zero::lane::communication)) {
    int multiprocessors = 0;
    checked(
        cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device.ordinal()),
        "cudaDeviceGetAttribute");
    blocks_at_once_ = static_cast<unsigned>(multiprocessors) * blocks_a_multiprocessor;
  }

  [[nodiscard]] stream& lane() noexcept override { return *lane_; }
  [[nodiscard]] memory_resource& memory() noexcept override { return device_.memory(); }

  // Memory of this GPU, whoever allocated it. Asked of its first and last byte: a range that leaves
  // the GPU's memory in between is nobody's allocation.
  [[nodiscard]] bool reaches(const void* first, std::uint64_t bytes) const noexcept override {
    const auto is_here = [&](const void* at) {
      cudaPointerAttributes found{};
      if (cudaPointerGetAttributes(&found, at) != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        return false;
      }
      return found.type == cudaMemoryTypeDevice && found.device == device_.ordinal();
    };
    return is_here(first) && is_here(static_cast<const std::byte*>(first) + bytes - 1);
  }

  [[nodiscard]] std::unique_ptr<event_ring> make_events(std::size_t slots) override {
    return std::make_unique<cuda_events>(device_.ordinal(), slots);
  }

  void copy(void* to, const void* from, std::uint64_t bytes) override {
    const current_device here(device_.ordinal());
    checked(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, cuda::native(*lane_)),
            "cudaMemcpyAsync");
  }
  void sum(const void* const* from, std::size_t sources, dtype in, void* out, dtype out_type,
           std::size_t count, write_mode mode) override {
    const current_device here(device_.ordinal());
    sum_on(cuda::native(*lane_), blocks_at_once_, from, sources, in, out, out_type, count, mode);
  }

 private:
  static constexpr unsigned blocks_a_multiprocessor = 4;

  cuda_device& device_;
  std::unique_ptr<stream> lane_;
  unsigned blocks_at_once_ = 1;
};

}  // namespace

std::unique_ptr<device_queue> make_cuda_queue(cuda_device& device) {
  return std::make_unique<cuda_queue>(device);
}

}  // namespace zero::collectives
