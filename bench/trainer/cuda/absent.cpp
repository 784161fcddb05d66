// The model of a GPU where the trainer is built without CUDA.

#include "trainer/cuda/make_model.hpp"

#include <zero/base/error.hpp>

namespace zero::trainer {

std::unique_ptr<model> make_cuda_model(cuda_device& /*device*/, stream& /*queue*/,
                                       const gpt_config& /*config*/,
                                       const gpt_options& /*options*/) {
  throw invalid_argument(cuda_device::why_none());
}

double matrix_rate(cuda_device& /*device*/, dtype /*type*/) {
  throw invalid_argument(cuda_device::why_none());
}

}  // namespace zero::trainer
