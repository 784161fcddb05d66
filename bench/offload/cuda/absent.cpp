// plain_copies where the library is built without CUDA.
#include "offload/cuda/plain_copies.hpp"

namespace zero::bench {

plain_copies make_plain_copies(cuda_device& /*device*/) {
  throw invalid_argument("copies of a GPU: built without CUDA");
}

}  // namespace zero::bench
