// Planned traffic against a walk through a step, move by move, and against sums done by hand.

#include "tier_choices.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

namespace zero::partition::testing {
namespace {

enum class memory { device, host };

// Counts moves as they are asked of a lane.
struct lane {
  tier_bytes bytes;

  static std::uint64_t stride(std::uint64_t record) { return (record + 4095) / 4096 * 4096; }
  // In host memory what rests there is worked on as it rests.
  void fetch(tier from, memory to, std::uint64_t record) {
    if (from == tier::disk) bytes.disk_read += stride(record);
    if (from == tier::device && to == memory::host) bytes.device_to_host += record;
    if (from != tier::device && to == memory::device) bytes.host_to_device += record;
  }
  void spill(memory from, tier to, std::uint64_t record) {
    if (to == tier::disk) bytes.disk_written += stride(record);
    if (to == tier::device && from == memory::host) bytes.host_to_device += record;
    if (to != tier::device && from == memory::device) bytes.device_to_host += record;
  }
  void amend(tier to, std::uint64_t record, std::uint64_t source) {
    bytes.device_to_host += source;
    if (to == tier::disk) {
      bytes.disk_read += stride(record);
      bytes.disk_written += stride(record);
    }
  }
};

class walk {
 public:
  walk(const tier_choice& c, const layout& of, const memory_plan& plan, bool reads_parameters)
      : c_(c), of_(of), plan_(plan), reads_(reads_parameters), often_(of.buckets().size(), 0) {}

  tier_bytes step(int micro_batches) {
    std::vector<int> holder(plan_.parameter_slots().slot_bytes.size(), -1);
    for (int micro = 0; micro < micro_batches; ++micro) {
      for (const slot_use& use : plan_.parameter_slots().uses) {
        if (use.slot == no_slot || holder[use.slot] == use.unit) continue;
        for (int& unit : holder) unit = unit == use.unit ? -1 : unit;
        holder[use.slot] = use.unit;
        fetch_unit(use.unit);
      }
      if (!c_.keep || micro + 1 == micro_batches) reduce(c_.keep || micro == 0);
    }
    for (const cell& k : plan_.cells()) {
      if (of_.buckets()[k.bucket].trainable) update(k);
    }
    return lane_.bytes;
  }

 private:
  [[nodiscard]] std::uint64_t parameter(const cell& k) const {
    return k.count * size_of(of_.buckets()[k.bucket].type);
  }
  [[nodiscard]] std::uint64_t gradient(const cell& k) const {
    return k.count * size_of(plan_.buckets()[k.bucket].reduced_type);
  }

  void fetch_unit(int unit) {
    for (const std::size_t bucket : of_.buckets_of(unit)) {
      const bucket_plan& b = plan_.buckets()[bucket];
      if (b.parameter_tier == tier::device || (b.secondary && often_[bucket]++ > 0)) continue;
      for (const cell& k : plan_.cells_of(bucket)) {
        lane_.fetch(b.parameter_tier, memory::device, parameter(k));
      }
    }
  }

  void reduce(bool first) {
    for (const cell& k : plan_.cells()) {
      const tier to = plan_.buckets()[k.bucket].gradient_tier;
      if (to == tier::device) continue;
      if (first) {
        lane_.spill(memory::device, to, gradient(k));
      } else {
        lane_.amend(to, gradient(k), k.count * 4);
      }
    }
  }

  void update(const cell& k) {
    const bucket_plan& b = plan_.buckets()[k.bucket];
    const memory where = k.down ? memory::host : memory::device;
    if (k.down) lane_.fetch(c_.tiers.optimizer, where, k.count * (k.master ? 12 : 8));
    lane_.fetch(b.gradient_tier, where, gradient(k));
    const bool fp32_alone = of_.buckets()[k.bucket].type == dtype::fp32 && !k.master;
    if (reads_ || fp32_alone) lane_.fetch(b.parameter_tier, where, parameter(k));
    lane_.spill(where, b.parameter_tier, parameter(k));
    if (k.down) lane_.spill(where, c_.tiers.optimizer, k.count * (k.master ? 12 : 8));
  }

  const tier_choice& c_;
  const layout& of_;
  const memory_plan& plan_;
  bool reads_;
  std::vector<int> often_;
  lane lane_;
};

void expect_same(const tier_bytes& planned, const tier_bytes& walked) {
  EXPECT_EQ(planned.host_to_device, walked.host_to_device);
  EXPECT_EQ(planned.device_to_host, walked.device_to_host);
  EXPECT_EQ(planned.disk_read, walked.disk_read);
  EXPECT_EQ(planned.disk_written, walked.disk_written);
}

class traffic : public ::testing::TestWithParam<std::tuple<std::string, int>> {};
INSTANTIATE_TEST_SUITE_P(tier_traffic, traffic,
                         ::testing::Combine(::testing::Values("0", "1", "2", "3", "hybrid",
                                                              "hybrid1", "hpz"),
                                            ::testing::Values(1, 2, 3, 6)));

TEST_P(traffic, is_what_a_walk_through_a_step_moves) {
  constexpr tier all[] = {tier::device, tier::host, tier::disk};
  tier_choice c;
  std::tie(c.row, c.world) = GetParam();
  const sharding_policy policy = resolved(c.options().policy, c.world);
  const bool parameters_rest =
      is_sharded(policy.parameters) && policy.parameters == policy.optimizer;
  c.tiers.cell_elements = 2048;
  for (const tier optimizer : all) {
    for (const tier parameters : all) {
      if (parameters != tier::device && !parameters_rest) continue;
      for (const int variant : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) {
        c.tiers.optimizer = optimizer;
        c.tiers.parameters = parameters;
        c.tiers.optimizer_ratio = variant % 3 == 0 ? 1.0 : 0.4;
        c.tiers.gradients.reset();
        if (variant % 3 == 2 && policy.gradients == sharded_over::world) {
          c.tiers.gradients = variant % 2 == 0 ? tier::host : tier::disk;
        }
        c.type = variant % 2 == 0 ? dtype::fp32 : dtype::bf16;
        c.wide = variant % 4 < 2;
        c.reductions = variant < 4 ? 1 : 3;
        c.keep = variant >= 8;
        SCOPED_TRACE(c.text());
        const layout of = odd_layout(c.type, c.world);
        const memory_plan plan(of, c.options());
        for (int micro = 1; micro <= c.reductions; ++micro) {
          expect_same(plan_tier_traffic(of, plan, micro).step(),
                      walk(c, of, plan, false).step(micro));
        }
      }
    }
  }
}

TEST(tier_traffic, of_everything_on_the_device_is_nothing) {
  tier_choice c;
  c.world = 2;
  const layout of = odd_layout(dtype::bf16, 2);
  expect_same(plan_tier_traffic(of, memory_plan(of, c.options()), 1).step(), {});
}

// 16-bit parameters without whole master weights cross both ways.
TEST(tier_traffic, parameters_that_the_update_reads_come_down_first) {
  for (const tier parameters : {tier::device, tier::host, tier::disk}) {
    for (const std::uint32_t master : {0U, 256U}) {
      tier_choice c;
      c.world = 2;
      c.type = dtype::bf16;
      c.tiers.parameters = parameters;
      c.tiers.optimizer = tier::host;  // not counted, whatever its arrays take
      c.tiers.gradients = tier::host;
      const layout of = odd_layout(c.type, c.world);
      plan_options options = c.options();
      options.master_array = master;
      options.optimizer_arrays = {132, 256};
      const memory_plan plan(of, options);
      // An fp32 bucket has whole ones apart where its parameters rest on the device.
      tier_bytes before = plan_tier_traffic(of, memory_plan(of, c.options()), 1).updates;
      for (const cell& k : plan.cells()) {
        const bucket& b = of.buckets()[k.bucket];
        if (!b.trainable || b.type == dtype::fp32) continue;
        if (plan.buckets()[k.bucket].parameter_tier == tier::device) {
          before.device_to_host += k.count * 2;
        }
        if (parameters == tier::disk && !b.resident) {
          before.disk_read += (k.count * 2 + 4095) / 4096 * 4096;
        }
      }
      expect_same(plan_tier_traffic(of, plan, 1).updates, before);
    }
  }
}

// One unit of 2048 elements on one rank, in bf16 with fp32 gradients and AdamW, all on a disk: one
// cell, whose records are 24 KiB of states, 8 KiB of gradients and 4 KiB of parameters.
TEST(tier_traffic, by_hand) {
  parameter_spec p;
  p.name = "w";
  p.shape = {2048};
  p.type = dtype::bf16;
  const layout of({{{"u", {p}}}}, {});
  plan_options options;
  options.policy = policy_of_name("3");
  options.reductions = 2;
  options.tiers.optimizer = tier::disk;
  options.tiers.parameters = tier::disk;
  const memory_plan plan(of, options);
  const tier_traffic_plan once = plan_tier_traffic(of, plan, 1);
  expect_same(once.gathers, {4096, 0, 4096, 0});  // and stays for the backward
  expect_same(once.gradients, {0, 8192, 0, 8192});
  expect_same(once.updates, {0, 0, 24576 + 8192, 24576 + 4096});
  const tier_traffic_plan twice = plan_tier_traffic(of, plan, 2);
  expect_same(twice.gathers, {4096, 0, 4096, 0});
  expect_same(twice.gradients, {0, 16384, 8192, 16384});
  expect_same(twice.updates, once.updates);
  expect_same(twice.step(), {4096, 16384, 4096 + 8192 + 32768, 16384 + 28672});
}

TEST(tier_traffic, refuses_micro_batches_that_were_not_planned) {
  const layout of = odd_layout(dtype::fp32, 1);
  plan_options options;
  options.reductions = 2;
  const memory_plan plan(of, options);
  EXPECT_THROW((void)plan_tier_traffic(of, plan, 0), invalid_argument);
  EXPECT_THROW((void)plan_tier_traffic(of, plan, 3), invalid_argument);
  EXPECT_NO_THROW((void)plan_tier_traffic(of, plan, 2));
}

}  // namespace
}  // namespace zero::partition::testing
