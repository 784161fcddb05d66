#pragma once
// The processor of an NVIDIA GPU. Compiles without CUDA.

#include <zero/base/cuda.hpp>
#include <zero/optim/processor.hpp>

#include <memory>

#pragma GCC visibility push(default)
namespace zero::optim {

// Works in memory of `device` on a stream of its own, or on `native` (a cudaStream_t of the
// client's, which must outlive it). `device` must outlive it. Throws cuda_error, and
// invalid_argument where the library was built without CUDA.
[[nodiscard]] std::unique_ptr<processor> make_cuda_processor(cuda_device& device,
                                                             void* native = nullptr);

}  // namespace zero::optim
#pragma GCC visibility pop
