#include <zero/partition/fit.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

namespace zero::partition {
namespace {

struct shape {
  std::uint64_t cell_elements;
  int depth;
  int bounces;
};

// Small cells cost a disk less than few of them under way do, as long as a record is some hundred
// KiB, which 2^15 elements with their states are.
constexpr std::array<shape, 7> smaller{{{1U << 16U, 8, 4},
                                        {1U << 15U, 8, 4},
                                        {1U << 15U, 6, 4},
                                        {1U << 15U, 4, 2},
                                        {1U << 14U, 4, 2},
                                        {1U << 14U, 3, 2},
                                        {1U << 14U, 2, 2}}};

// What may rest where, from what leaves least on the device last.
std::vector<tiering> choices(const tiering& given, const sharding_policy& policy,
                             const free_tiers& may) {
  tiering next = given;
  if (may.gradients) next.gradients.reset();
  if (may.parameters) next.parameters = tier::device;
  std::vector<tiering> order;
  if (may.optimizer) {
    next.optimizer = tier::device;
    order.push_back(next);
    next.optimizer = tier::disk;
    for (int share = 1; may.ratio && share < 100; ++share) {
      next.optimizer_ratio = share / 100.0;
      order.push_back(next);
    }
    next.optimizer_ratio = may.ratio ? 1.0 : given.optimizer_ratio;
  }
  order.push_back(next);
  if (may.gradients && gradients_may_leave(policy) && gradient_tier(next, policy) != tier::disk) {
    next.gradients = tier::disk;
    order.push_back(next);
  }
  if (may.parameters && parameters_may_leave(policy)) {
    next.parameters = tier::disk;
    order.push_back(next);
  }
  return order;
}

// What a rank holds beside optimizer states: no share of them that goes down leaves less.
std::uint64_t beside_optimizer(const layout& of, plan_options options, const tiering& tiers) {
  options.tiers = tiers;
  options.list_cells = false;
  const memory_plan plan(of, std::move(options));
  std::uint64_t bytes = plan.peak();
  for (const allocation& a : plan.allocations()) {
    if (a.what == purpose::optimizer) bytes -= a.payload + a.padding;
  }
  return bytes;
}

}  // namespace

fitted fit(const layout& of, const plan_options& options, std::uint64_t budget,
           const free_tiers& may) {
  const sharding_policy policy = resolved(options.policy, of.world_size());
  const std::vector<tiering> order = choices(options.tiers, policy, may);
  fitted best;
  best.bytes = std::numeric_limits<std::uint64_t>::max();
  // Whether this is it; else it may be what takes least.
  const auto settles = [&](const tiering& tiers) {
    plan_options with = options;
    with.tiers = tiers;
    with.list_cells = false;
    const std::uint64_t bytes = memory_plan(of, std::move(with)).peak();
    const bool holds = bytes <= budget;
    if (holds || bytes < best.bytes) best = {holds, tiers, bytes};
    return holds;
  };
  for (const tiering& tiers : order) {
    if (settles(tiers)) return best;
  }
  const bool shares = may.optimizer && may.ratio;
  const std::uint64_t beside = shares ? beside_optimizer(of, options, order.front()) : 0;
  for (const shape& s : smaller) {
    // Then no share takes less than the least so far, which does not fit.
    const bool whole = shares && beside >= best.bytes;
    for (tiering tiers : order) {
      if (!tiers.any()) continue;  // has no cells under way
      if (whole && tiers.optimizer_ratio < 1) continue;
      tiers.cell_elements = std::min(tiers.cell_elements, s.cell_elements);
      tiers.depth = std::min(tiers.depth, s.depth);
      tiers.bounces = std::min(tiers.bounces, s.bounces);
      if (settles(tiers)) return best;
    }
  }
  return best;
}

}  // namespace zero::partition
