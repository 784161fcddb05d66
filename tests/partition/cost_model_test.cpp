// The cost model against times worked out by hand.

#include "sample_models.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/communication_plan.hpp>
#include <zero/partition/cost_model.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace zero::partition::testing {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// `units` of 128 * 64 fp32 elements each: 32 KiB, that nothing pads in worlds of 1, 2, 4, 8.
model_spec even_model(int units) {
  model_spec model;
  for (int i = 0; i < units; ++i) {
    parameter_spec p;
    p.name = "p" + std::to_string(i);
    p.shape = {128, 64};
    model.units.push_back({"u" + std::to_string(i), {p}});
  }
  return model;
}
constexpr double unit_bytes = 32768;

struct machine {
  layout of;
  memory_plan plan;

  machine(int units, int world, plan_options options)
      : of(even_model(units), {world}), plan(of, std::move(options)) {}
  [[nodiscard]] step_estimate step(double forward, double backward, const machine_ceilings& c,
                                   int micro_batches = 1) const {
    const std::size_t uses = plan.options().forward_order.size();
    compute_times times;
    times.forward.assign(uses, forward);
    times.backward.assign(uses, backward);
    return estimate_step(of, plan, times, c, micro_batches);
  }
};

plan_options stage(int number, int prefetch = 1) {
  plan_options o;
  o.policy = policy_of_stage(number);
  o.prefetch = prefetch;
  return o;
}

double busy(const step_estimate& e, step_resource r) { return e.busy[static_cast<std::size_t>(r)]; }

TEST(cost_model, without_ceilings_a_step_is_what_it_computes) {
  const machine m(5, 4, stage(3));
  const step_estimate e = m.step(1.0, 2.0, {});
  EXPECT_DOUBLE_EQ(e.lower_bound, 15);
  EXPECT_DOUBLE_EQ(e.estimate, 15);
  EXPECT_EQ(e.bound_by, step_resource::compute);
}

TEST(cost_model, collectives_take_their_share_of_bytes_and_their_calls) {
  const machine m(3, 4, stage(2));
  machine_ceilings c;
  c.all_gather = unit_bytes;          // a unit in 3/4 s
  c.reduce_scatter = unit_bytes / 2;  // and in 3/2 s
  const step_estimate e = m.step(0, 0, c);
  const double vote = 24.0 * 4 / unit_bytes * 0.75;
  EXPECT_DOUBLE_EQ(busy(e, step_resource::communication), 3 * 0.75 + 3 * 1.5 + vote);
  EXPECT_DOUBLE_EQ(e.lower_bound, busy(e, step_resource::communication));
  EXPECT_DOUBLE_EQ(e.estimate, e.lower_bound);
  EXPECT_EQ(e.bound_by, step_resource::communication);
  machine_ceilings calls;
  calls.call_seconds = 0.25;
  EXPECT_DOUBLE_EQ(busy(m.step(0, 0, calls), step_resource::communication), 7 * 0.25);
}

// Gathers of 3/4 s, three units: 0 1 2 2 1 0, of which 2 is still there for the backward.
TEST(cost_model, gathers_are_hidden_as_far_as_they_run_ahead) {
  machine_ceilings c;
  c.all_gather = unit_bytes;
  const double g = 0.75;
  const double vote = 24.0 * 4 / unit_bytes * 0.75;
  // On demand: every gather is waited for. With one slot for all but neighbours.
  EXPECT_NEAR(machine(3, 4, stage(3, 0)).step(1, 2, c).estimate, 9 + 5 * g + vote, 1e-9);
  // One ahead: the first alone.
  EXPECT_NEAR(machine(3, 4, stage(3, 1)).step(1, 2, c).estimate, 9 + g + vote, 1e-9);
  // With less to compute than to gather, gathers follow each other.
  const step_estimate bound = machine(3, 4, stage(3, 1)).step(0.1, 0.1, c);
  EXPECT_EQ(bound.bound_by, step_resource::communication);
  EXPECT_GE(bound.estimate, bound.lower_bound);
  EXPECT_LE(bound.estimate, bound.lower_bound + 0.6);
}

TEST(cost_model, on_one_processor_nothing_overlaps_but_the_disk) {
  plan_options o = stage(3);
  o.tiers.optimizer = tier::disk;
  o.tiers.parameters = tier::disk;
  machine m(4, 2, o);
  machine_ceilings c;
  c.all_gather = c.reduce_scatter = 3 * unit_bytes;
  c.device_memory = c.host_memory = 100 * unit_bytes;
  c.host_to_device = c.device_to_host = 10 * unit_bytes;
  c.one_processor = true;
  const step_estimate without = m.step(1, 2, c);
  double sum = 0;
  for (const double each : without.busy) sum += each;
  EXPECT_DOUBLE_EQ(busy(without, step_resource::disk), 0);
  EXPECT_DOUBLE_EQ(without.lower_bound, sum);
  EXPECT_NEAR(without.estimate, sum, 1e-9);
  c.disk_read = c.disk_written = c.disk_both = unit_bytes / 16;
  const step_estimate slow = m.step(1, 2, c);
  EXPECT_EQ(slow.bound_by, step_resource::disk);
  EXPECT_DOUBLE_EQ(slow.lower_bound, busy(slow, step_resource::disk));
  EXPECT_GE(slow.estimate, slow.lower_bound);
  EXPECT_LE(slow.estimate, slow.lower_bound + sum);
  EXPECT_DOUBLE_EQ(busy(slow, step_resource::update), busy(without, step_resource::update));
}

TEST(cost_model, reading_and_writing_share_a_disk_as_measured) {
  plan_options o = stage(1);
  o.tiers.optimizer = tier::disk;
  const machine m(2, 2, o);
  const tier_bytes moved = plan_tier_traffic(m.of, m.plan, 1).step();
  ASSERT_EQ(moved.disk_read, moved.disk_written);
  const auto bytes = static_cast<double>(moved.disk_read);
  machine_ceilings c;
  c.disk_read = 2 * bytes;
  c.disk_written = bytes;
  EXPECT_DOUBLE_EQ(busy(m.step(0, 0, c), step_resource::disk), 1);  // each has its own way
  c.disk_both = bytes;
  EXPECT_DOUBLE_EQ(busy(m.step(0, 0, c), step_resource::disk), 2);
}

// fp32 AdamW: two states read and written, gradients read for the norm and the update, parameters
// read and written.
TEST(cost_model, an_update_reads_and_writes_so_much) {
  const machine all(3, 2, stage(0));
  EXPECT_EQ(plan_update_traffic(all.of, all.plan).device, 3U * 8192 * (16 + 8 + 8));
  EXPECT_EQ(plan_update_traffic(all.of, all.plan).host, 0U);
  plan_options o = stage(3);
  o.tiers.optimizer = tier::host;
  o.tiers.cell_elements = 2048;
  const machine half(3, 2, o);
  // Parameters on the device have master weights of their own below it.
  EXPECT_EQ(plan_update_traffic(half.of, half.plan).host, 3U * 4096 * (24 + 8 + 4));
  EXPECT_EQ(plan_update_traffic(half.of, half.plan).device, 0U);
  EXPECT_EQ(plan_update_traffic(half.of, half.plan).cells_off, 6U);
  machine_ceilings c;
  c.host_memory = 3 * 4096 * 36;
  EXPECT_DOUBLE_EQ(busy(half.step(0, 0, c), step_resource::update), 1);
  c.cell_seconds = 0.5;
  EXPECT_DOUBLE_EQ(busy(half.step(0, 0, c), step_resource::update), 4);
}

TEST(cost_model, nothing_is_faster_than_its_bound) {
  machine_ceilings c{3e5, 2e5, 1e-3, 4e5, 3e5, 2e5, 1e5, 2e5, 1e5, 2.5e5, 1e-3, false};
  for (const int world : {1, 2, 3, 7}) {
    for (const int row : {0, 1, 2, 3}) {
      for (const tier where : {tier::device, tier::host, tier::disk}) {
        for (const int micro_batches : {1, 3}) {
          for (const bool one : {false, true}) {
            plan_options o = stage(row);
            o.reductions = micro_batches;
            o.tiers.optimizer = where;
            if (row == 3) o.tiers.parameters = where;
            c.one_processor = one;
            const step_estimate e = machine(4, world, o).step(0.01, 0.02, c, micro_batches);
            EXPECT_GE(e.estimate, e.lower_bound);
            EXPECT_GE(e.lower_bound, 4 * 0.03 * micro_batches - 1e-12);
            double sum = 0;
            for (const double each : e.busy) sum += each;
            EXPECT_LE(e.estimate, sum + 1e-9) << world << " " << row << " " << micro_batches;
            EXPECT_GE(e.busy[static_cast<std::size_t>(e.bound_by)] * step_resource_count, sum);
          }
        }
      }
    }
  }
}

TEST(cost_model, refuses_what_is_no_time) {
  const machine m(2, 2, stage(3));
  EXPECT_THROW(static_cast<void>(m.step(-1, 0, {})), invalid_argument);
  EXPECT_THROW(static_cast<void>(m.step(0, infinity, {})), invalid_argument);
  machine_ceilings c;
  c.disk_read = -1;
  EXPECT_THROW(static_cast<void>(m.step(0, 0, c)), invalid_argument);
  EXPECT_THROW(static_cast<void>(m.step(0, 0, {}, 2)), invalid_argument);
  EXPECT_THROW(static_cast<void>(estimate_step(m.of, m.plan, {{1}, {1}, 0}, {}, 1)),
               invalid_argument);
}

}  // namespace
}  // namespace zero::partition::testing
