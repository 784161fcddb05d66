#include <zero/base/native_cuda.hpp>

namespace zero::cuda {

void checked(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw cuda_error(
      call, static_cast<int>(code), cudaGetErrorString(code),
      code == cudaErrorMemoryAllocation ? error_class::resource : error_class::failure);
}

void unchecked(cudaError_t code) noexcept {
  if (code != cudaSuccess) static_cast<void>(cudaGetLastError());
}

current_device::current_device(int ordinal) : ordinal_(ordinal) {
  checked(cudaGetDevice(&before_), "cudaGetDevice");
  if (before_ != ordinal_) checked(cudaSetDevice(ordinal_), "cudaSetDevice");
}

current_device::~current_device() {
  if (before_ != ordinal_) unchecked(cudaSetDevice(before_));
}

}  // namespace zero::cuda
