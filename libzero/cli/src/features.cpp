#include "features.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/mpi.hpp>
#include <zero/collectives/shared_memory.hpp>
#include <zero/collectives/single.hpp>

#include <hwy/targets.h>

namespace zero::cli {

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
  return names;
}

}  // namespace zero::cli
