#include "features.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/error.hpp>
#include <zero/collectives/mpi.hpp>
#include <zero/collectives/nccl.hpp>
#include <zero/collectives/shared_memory.hpp>
#include <zero/collectives/single.hpp>
#include <zero/offload/disk_engine.hpp>

#include <hwy/targets.h>

namespace zero::cli {

features compiled_in() noexcept {
  features all;
  all.cuda = cuda_device::compiled();
  all.nccl = collectives::nccl_compiled();
  all.mpi = collectives::mpi_compiled();
  all.io_uring = offload::uring_compiled();
  return all;
}

std::vector<gpu> gpus() {
  std::vector<gpu> found;
  for (int ordinal = 0; ordinal < cuda_device::count(); ++ordinal) {
    try {
      const cuda_device device(ordinal);
      found.push_back({device.name(), device.total_bytes(), device.free_bytes()});
    } catch (const error&) {
      // in use by somebody alone, or broken: nothing can run there
    }
  }
  return found;
}

std::string why_no_gpus() {
  const std::string why = cuda_device::why_none();
  return why.empty() && gpus().empty() ? "no device can be used" : why;
}

std::vector<std::string> simd_targets() {
  std::vector<std::string> names;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

std::vector<std::string> working_backends() {
  std::vector<std::string> names;
  try {
    // Fails where the system has no anonymous shared memory to give.
    const auto shared = collectives::shared_memory_world::create(1, 1U << 20).join(0);
    names.emplace_back(shared->backend());
  } catch (const error&) {
    // absent here; info says so by leaving it out
  }
  names.emplace_back(collectives::make_single()->backend());
  if (collectives::mpi_compiled()) names.emplace_back("mpi");
  if (cuda_device::count() > 0) names.emplace_back("one_device");
  if (cuda_device::count() > 0 && collectives::nccl_compiled()) names.emplace_back("nccl");
  return names;
}

}  // namespace zero::cli
