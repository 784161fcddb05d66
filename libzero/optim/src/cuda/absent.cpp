// The processor of a GPU where the library is built without CUDA.
#include <zero/base/error.hpp>
#include <zero/optim/cuda.hpp>

namespace zero::optim {

std::unique_ptr<processor> make_cuda_processor(cuda_device& /*device*/, void* /*native*/) {
  throw invalid_argument("[optim.processor] " + cuda_device::why_none());
}

}  // namespace zero::optim
