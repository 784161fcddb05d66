#pragma once
// The model on an NVIDIA GPU. Compiles without CUDA.

#include "trainer/model.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/stream.hpp>

#include <memory>
#include <string>

namespace zero::trainer {

// A model that queues its work on `queue`, a stream of `device`; both must outlive it. Activations,
// parameters and gradients are of options.storage; matrix products are cuBLASLt's with fp32 sums.
// Throws invalid_argument (numbers out of range, a head too large for the kernels, no CUDA),
// out_of_memory, cuda_error.
[[nodiscard]] std::unique_ptr<model> make_cuda_model(cuda_device& device, stream& queue,
                                                     const gpt_config& config,
                                                     const gpt_options& options);

// Floating-point operations a second that one large product of 16-bit matrices reaches on `device`,
// or of fp32 ones: what a model's own rate is measured against. Blocks for about a second.
[[nodiscard]] double matrix_rate(cuda_device& device, dtype type);

}  // namespace zero::trainer
