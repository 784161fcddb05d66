// Where the library is built without NCCL.
#include <zero/base/error.hpp>
#include <zero/collectives/nccl.hpp>

#include <string>

namespace zero::collectives {

bool nccl_compiled() noexcept { return false; }

std::string nccl_version() { return {}; }

std::unique_ptr<communicator> make_nccl(cuda_device& /*device*/, world w,
                                        const bootstrap& /*exchange*/, nccl_options* /*options*/) {
  throw invalid_argument("[collectives.nccl] rank " + std::to_string(w.rank) + " of " +
                         std::to_string(w.size) + ": the library was built without NCCL");
}

nccl_ranks ranks_of_nccl(void* /*communicator*/, cuda_device& /*device*/, std::int64_t /*limit*/) {
  throw invalid_argument(
      "[collectives.nccl] ranks of an ncclComm_t: the library was built without NCCL");
}

}  // namespace zero::collectives
