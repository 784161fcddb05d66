#include <zero/base/error.hpp>
#include <zero/partition/tiering.hpp>

#include <string>

namespace zero::partition {
namespace {

constexpr std::uint64_t least_cell = 2048;  // elements

bool off_the_device(tier t) { return t != tier::device; }

}  // namespace

// An update then takes both as they rest.
bool parameters_may_leave(const sharding_policy& policy) noexcept {
  return is_sharded(policy.parameters) && policy.parameters == policy.optimizer;
}

bool gradients_may_leave(const sharding_policy& policy) noexcept {
  return policy.gradients == sharded_over::world;
}

const char* name_of(tier t) noexcept {
  switch (t) {
    case tier::device:
      return "device";
    case tier::host:
      return "host";
    case tier::disk:
      return "disk";
  }
  return "unknown";
}

// zero/offload/memory_tier.hpp and record_layout.hpp, which this room does not see.
std::uint64_t tier_alignment(tier t) noexcept {
  switch (t) {
    case tier::host:
      return 64;
    case tier::disk:
      return 4096;
    case tier::device:
      break;
  }
  return 1;
}

tier gradient_tier(const tiering& tiers, const sharding_policy& policy) noexcept {
  if (!gradients_may_leave(policy)) return tier::device;
  return tiers.gradients.value_or(tiers.optimizer_ratio == 1.0 ? tiers.optimizer : tier::device);
}

void check(const tiering& tiers, const sharding_policy& policy) {
  const auto refuse = [](const std::string& what) {
    throw invalid_argument("[partition.tiering] " + what);
  };
  if (off_the_device(tiers.parameters) && !parameters_may_leave(policy)) {
    refuse(std::string("parameters on ") + name_of(tiers.parameters) +
           ": they can rest off the device only where they are sharded like the optimizer states "
           "(policies 3, hybrid, mics and hpz)");
  }
  if (off_the_device(tiers.gradients.value_or(tier::device)) && !gradients_may_leave(policy)) {
    refuse(std::string("gradients on ") + name_of(*tiers.gradients) +
           ": they can rest off the device only where they are sharded over all ranks (policies 2, "
           "3, hybrid1 and hpz)");
  }
  if (!(tiers.optimizer_ratio >= 0 && tiers.optimizer_ratio <= 1)) {
    refuse("an optimizer ratio of " + std::to_string(tiers.optimizer_ratio) +
           ": accepted are 0 to 1");
  }
  const std::uint64_t cell = tiers.cell_elements;
  if (cell < least_cell || (cell & (cell - 1)) != 0) {
    refuse("cells of " + std::to_string(cell) + " elements: accepted are " +
           std::to_string(least_cell) + " times a power of two");
  }
  if (tiers.depth < 2) {
    refuse(std::to_string(tiers.depth) + " cells under way: at least 2 are needed");
  }
  if (tiers.bounces < 2) {
    refuse(std::to_string(tiers.bounces) + " bounces: at least 2 are needed");
  }
}

}  // namespace zero::partition
