// Built where there is no liburing.
#include "engines.hpp"

#include <cerrno>

namespace zero::offload {

bool uring_compiled() noexcept { return false; }

uring_attempt try_uring_engine(const disk_engine_options& options) {
  static_cast<void>(options);
  return {nullptr, "built without liburing", ENOSYS};
}

}  // namespace zero::offload
