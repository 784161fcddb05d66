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

}  // namespace zero::collectives
