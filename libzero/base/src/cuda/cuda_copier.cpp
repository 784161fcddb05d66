#include <zero/base/cuda_copier.hpp>
#include <zero/base/native_cuda.hpp>

namespace zero::cuda {

cuda_copier::cuda_copier(cuda_device& device)
    : ordinal_(device.ordinal()),
      up_(device.make_stream(lane::copy_in)),
      down_(device.make_stream(lane::copy_out)) {}

completion cuda_copier::copy(const void* from, void* to, std::size_t bytes, copy_way way) {
  stream& queue = way == copy_way::up ? *up_ : *down_;
  if (bytes > 0) {
    const current_device here(ordinal_);
    const auto kind = way == copy_way::up ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
    checked(cudaMemcpyAsync(to, from, bytes, kind, native(queue)), "cudaMemcpyAsync");
  }
  return queue.record();
}

}  // namespace zero::cuda
