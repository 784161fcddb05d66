// cuda_device where the library is built with CUDA.
#include "cuda_stream.hpp"
#include "device_memory.hpp"
#include "driver.hpp"
#include "pinned_memory.hpp"

#include <atomic>

namespace zero {
namespace {

// What the runtime says when asked for devices. Without a driver that is an error.
cudaError_t ask_for_devices(int* count) noexcept {
  *count = 0;
  const cudaError_t answer = cudaGetDeviceCount(count);
  if (answer != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    *count = 0;
  }
  return answer;
}

// Makes the device's context, which later calls of the driver need.
int prepared(int ordinal) {
  if (ordinal < 0 || ordinal >= cuda_device::count()) {
    const std::string why = cuda_device::why_none();
    throw invalid_argument(
        "[base.cuda_device] device " + std::to_string(ordinal) + ": " +
        (why.empty() ? "there are " + std::to_string(cuda_device::count()) : why));
  }
  const cuda::current_device here(ordinal);
  cuda::checked(cudaFree(nullptr), "cudaFree");
  return ordinal;
}

}  // namespace

struct cuda_device::state {
  explicit state(int device)
      : ordinal(prepared(device)),
        zeroing(ordinal, lane::compute, nullptr, deadline),
        memory(ordinal, calls, zeroing),
        pinned(ordinal) {
    cuda::checked(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
  }

  int ordinal;
  cudaDeviceProp properties{};
  std::atomic<std::int64_t> deadline{30'000};
  cuda::driver calls;
  cuda::cuda_stream zeroing;
  cuda::device_memory memory;
  cuda::pinned_memory pinned;
};

bool cuda_device::compiled() noexcept { return true; }

int cuda_device::count() noexcept {
  int devices = 0;
  static_cast<void>(ask_for_devices(&devices));
  return devices;
}

std::string cuda_device::why_none() {
  int devices = 0;
  const cudaError_t answer = ask_for_devices(&devices);
  if (devices > 0) return {};
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) static_cast<void>(cudaGetLastError());
  if (driver == 0) return "there is no NVIDIA driver";
  return answer == cudaSuccess ? "there is no CUDA device" : cudaGetErrorString(answer);
}

cuda_device::cuda_device(int ordinal) : state_(std::make_unique<state>(ordinal)) {}
cuda_device::~cuda_device() = default;

int cuda_device::ordinal() const noexcept { return state_->ordinal; }
std::string cuda_device::name() const { return state_->properties.name; }
std::uint64_t cuda_device::total_bytes() const noexcept {
  return state_->properties.totalGlobalMem;
}

std::uint64_t cuda_device::free_bytes() const {
  const cuda::current_device here(ordinal());
  std::size_t free = 0;
  std::size_t total = 0;
  cuda::checked(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

memory_resource& cuda_device::memory() noexcept { return state_->memory; }
memory_resource& cuda_device::pinned_memory() noexcept { return state_->pinned; }
std::uint64_t cuda_device::unpinned_bytes() const noexcept { return state_->pinned.unpinned(); }

bool cuda_device::reaches(const void* memory) const {
  const cuda::current_device here(ordinal());
  cudaPointerAttributes found{};
  cuda::checked(cudaPointerGetAttributes(&found, memory), "cudaPointerGetAttributes");
  return found.type == cudaMemoryTypeManaged ||
         (found.type == cudaMemoryTypeDevice && found.device == ordinal());
}

std::unique_ptr<stream> cuda_device::make_stream(lane role) {
  return std::make_unique<cuda::cuda_stream>(ordinal(), role, nullptr, state_->deadline);
}

std::unique_ptr<stream> cuda_device::borrow_stream(void* native) {
  // A null handle is the default stream, which has a name that is not null.
  const auto borrowed = native == nullptr ? cudaStreamLegacy : static_cast<cudaStream_t>(native);
  return std::make_unique<cuda::cuda_stream>(ordinal(), lane::compute, borrowed, state_->deadline);
}

void cuda_device::set_deadline(std::int64_t milliseconds) noexcept {
  state_->deadline.store(milliseconds, std::memory_order_relaxed);
}

}  // namespace zero
