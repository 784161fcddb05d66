#include "tier_choices.hpp"

#include <zero/partition/tier_traffic.hpp>

#include <gtest/gtest.h>

#include <tuple>

namespace zero::partition::testing {
namespace {

parameter_spec parameter(const std::string& name, std::uint64_t count, dtype type,
                         bool trainable = true) {
  parameter_spec p;
  p.name = name;
  p.shape = {count};
  p.type = type;
  p.trainable = trainable;
  return p;
}

}  // namespace

model_spec odd_model(dtype type) {
  return {{{"first", {parameter("a", 10007, type), parameter("frozen", 3001, type, false)}},
           {"second", {parameter("b", 7, type), parameter("norm", 4099, dtype::fp32)}},
           {"third", {parameter("c", 20011, type)}}}};
}

layout odd_layout(dtype type, int world, std::uint64_t resident) {
  layout_options how;
  how.world_size = world;
  how.resident_bytes = resident;
  return {odd_model(type), how};
}

std::map<place, allocation> by_place(const memory_plan& plan) {
  std::map<place, allocation> found;
  for (const allocation& a : plan.allocations()) {
    EXPECT_TRUE(found.emplace(place{a.what, a.index}, a).second);
  }
  return found;
}

plan_options tier_choice::options() const {
  plan_options o;
  o.policy = policy_of_name(row, world % 2 == 0 ? 2 : 1);
  o.wide_gradients = wide;
  o.reductions = reductions;
  o.keep_gradients = keep;
  o.apart_from_host = apart;
  o.tiers = tiers;
  return o;
}
std::string tier_choice::text() const {
  return row + " x" + std::to_string(world) + (type == dtype::fp32 ? " fp32" : " bf16") +
         (wide ? " wide" : "") + " reductions " + std::to_string(reductions) +
         (keep ? " kept" : "") + (apart ? " apart" : "") + " optimizer " +
         name_of(tiers.optimizer) + " gradients " +
         (tiers.gradients ? name_of(*tiers.gradients) : "-") + " parameters " +
         name_of(tiers.parameters) + " ratio " + std::to_string(tiers.optimizer_ratio);
}

void expect_same_tallies(const layout& of, const memory_plan& plan) {
  using kind = std::tuple<std::size_t, std::uint64_t, bool, bool>;
  std::map<kind, std::uint64_t> listed;
  for (const cell& k : plan.cells()) ++listed[{k.bucket, k.count, k.down, k.master}];
  plan_options options = plan.options();
  options.list_cells = false;
  const memory_plan unlisted(of, options);
  EXPECT_TRUE(unlisted.cells().empty());
  for (const memory_plan* each : {&plan, &unlisted}) {
    std::map<kind, std::uint64_t> told;
    for (const cell_tally& t : each->tallies()) {
      told[{t.each.bucket, t.each.count, t.each.down, t.each.master}] += t.times;
    }
    EXPECT_EQ(told, listed);
  }
  for (const tier_class what :
       {tier_class::optimizer, tier_class::gradients, tier_class::parameters}) {
    EXPECT_TRUE(unlisted.records(what).empty());
    EXPECT_EQ(unlisted.tier_of(what), plan.tier_of(what));
  }
  EXPECT_EQ(by_place(unlisted).size(), by_place(plan).size());
  EXPECT_EQ(unlisted.bytes(), plan.bytes());
  const tier_bytes here = plan_tier_traffic(of, plan, options.reductions).step();
  const tier_bytes there = plan_tier_traffic(of, unlisted, options.reductions).step();
  EXPECT_EQ(there.host_to_device, here.host_to_device);
  EXPECT_EQ(there.device_to_host, here.device_to_host);
  EXPECT_EQ(there.disk_read, here.disk_read);
  EXPECT_EQ(there.disk_written, here.disk_written);
}

}  // namespace zero::partition::testing
