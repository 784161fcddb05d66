// Volumes against the formulas of the papers, and against an independent walk of the schedule.

#include <zero/base/error.hpp>
#include <zero/partition/communication_plan.hpp>

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace zero::partition {
namespace {

constexpr std::uint64_t each = 128 * 12;  // elements of a unit; cut evenly by 1, 2, 3, 4, 6, 12

model_spec equal_units(int units, dtype type) {
  model_spec model;
  for (int u = 0; u < units; ++u) {
    parameter_spec p;
    p.name = "w" + std::to_string(u);
    p.shape = {each};
    p.type = type;
    model.units.push_back({"u" + std::to_string(u), {p}});
  }
  return model;
}

struct planned {
  layout of;
  memory_plan plan;
  communication_plan communication;
};

planned plan_of(const model_spec& model, int world, plan_options options, int micro_batches = 1,
                std::uint64_t resident = 0) {
  layout_options how;
  how.world_size = world;
  how.resident_bytes = resident;
  layout of(model, how);
  options.reductions = micro_batches;
  memory_plan plan(of, options);
  communication_plan communication = plan_communication(of, plan, micro_batches);
  return {std::move(of), std::move(plan), std::move(communication)};
}

plan_options with(const std::string& row, int group_size = 0) {
  plan_options options;
  options.policy = policy_of_name(row, group_size);
  options.prefetch = 0;
  return options;
}

// Bytes by (what, among), times included.
std::map<std::string, std::uint64_t> bytes_by_use(const communication_plan& plan) {
  std::map<std::string, std::uint64_t> sums;
  for (const planned_operation& o : plan.operations) {
    const char* among[] = {"nobody", "world", "within", "across"};
    EXPECT_GE(o.times, 1U);
    EXPECT_EQ(o.count % static_cast<std::uint64_t>(o.ranks), 0U);
    sums[name_of(o.what) + std::string(" ") + among[static_cast<int>(o.among)]] +=
        o.times * o.bytes();
  }
  return sums;
}
using volumes = std::map<std::string, std::uint64_t>;

// Section 7 of the ZeRO paper: data parallelism and P_os+g move 2 psi a step, P_os+g+p 3 psi; here
// a unit used last in the forward is still there for the backward.
TEST(communication_plan, of_the_stages_is_that_of_the_paper) {
  const std::uint64_t psi = 5 * each * 4;  // bytes
  const auto volume = [&](const char* row) {
    return bytes_by_use(plan_of(equal_units(5, dtype::fp32), 4, with(row)).communication);
  };
  EXPECT_EQ(volume("0"),
            (volumes{{"reduce world", psi}, {"exchange world", psi}, {"vote world", 96}}));
  EXPECT_EQ(volume("1"),
            (volumes{{"reduce world", psi}, {"publish world", psi}, {"vote world", 96}}));
  EXPECT_EQ(volume("2"), volume("1"));
  EXPECT_EQ(
      volume("3"),
      (volumes{{"gather world", 2 * psi - each * 4}, {"reduce world", psi}, {"vote world", 96}}));
}

TEST(communication_plan, of_the_rows_with_groups) {
  const std::uint64_t psi = 5 * each * 2;  // bytes in bf16
  const auto volume = [&](const char* row, int size) {
    return bytes_by_use(plan_of(equal_units(5, dtype::bf16), 6, with(row, size)).communication);
  };
  // Gradients are exchanged in fp32, the 1/L shard of a group alone; parameters never leave it.
  EXPECT_EQ(volume("hybrid", 3), (volumes{{"gather within", 2 * psi - each * 2},
                                          {"reduce world", psi},
                                          {"exchange across", 2 * psi / 3},
                                          {"vote world", 144}}));
  EXPECT_EQ(volume("mics", 3), volume("hybrid", 3));
  // One publication of the parameters' shard across groups.
  EXPECT_EQ(volume("hybrid1", 2), (volumes{{"gather within", 2 * psi - each * 2},
                                           {"reduce world", psi},
                                           {"publish across", psi / 2},
                                           {"vote world", 144}}));
  // The first gather of each unit alone is over the world.
  EXPECT_EQ(volume("hpz", 2), (volumes{{"gather world", psi},
                                       {"gather_again within", psi - each * 2},
                                       {"reduce world", psi},
                                       {"vote world", 144}}));
  EXPECT_EQ(volume("hpz", 1), volume("hpz", 2));
  EXPECT_EQ(volume("hpz", 6), volume("3", 0));
  EXPECT_EQ(volume("hybrid", 6), volume("3", 0));
  EXPECT_EQ(volume("hybrid", 1), volume("0", 0));
}

TEST(communication_plan, accumulation_multiplies_reductions_and_gathers_alone) {
  const std::uint64_t unit = each * 2;
  for (const bool keep : {false, true}) {
    for (const char* row : {"hybrid", "hybrid1", "hpz", "3"}) {
      plan_options options = with(row, 2);
      options.keep_gradients = keep;
      const volumes three =
          bytes_by_use(plan_of(equal_units(4, dtype::bf16), 4, options, 3).communication);
      const volumes one =
          bytes_by_use(plan_of(equal_units(4, dtype::bf16), 4, options).communication);
      for (const auto& [use, bytes] : one) {
        std::uint64_t expected = bytes;
        if (use == "reduce world") expected = keep ? bytes : 3 * bytes;
        // Between micro-batches unit 0, used last, is still there.
        if (use == "gather within" || (use == "gather world" && row == std::string("3"))) {
          expected = 3 * (2 * 4 - 1) * unit - 2 * unit;
        }
        if (use == "gather_again within") expected = (3 * (2 * 4 - 1) - 2 - 4) * unit;
        EXPECT_EQ(three.at(use), expected) << row << " " << use << " " << keep;
      }
      EXPECT_EQ(three.size(), one.size());
    }
  }
}

TEST(communication_plan, wide_enough_slots_and_prefetch_save_gathers_that_overlap) {
  // With prefetch p the last p + 1 units of the forward are the first of the backward's window.
  for (int prefetch = 0; prefetch <= 2; ++prefetch) {
    plan_options options = with("3");
    options.prefetch = prefetch;
    const planned got = plan_of(equal_units(6, dtype::fp32), 2, options);
    std::uint64_t gathers = 0;
    std::size_t again = 0;
    for (const planned_operation& o : got.communication.operations) {
      if (o.what != transfer::gather) continue;
      gathers += o.times;
      again += o.times == 1 ? 1 : 0;
    }
    // An interval of the plan is one gather: what stays in its slot between two uses is not moved.
    std::uint64_t moves = 0;
    std::map<std::size_t, int> in;
    for (const slot_use& use : got.plan.parameter_slots().uses) {
      const auto at = in.find(use.slot);
      if (at == in.end() || at->second != use.unit) ++moves;
      in[use.slot] = use.unit;
    }
    EXPECT_EQ(gathers, moves);
    EXPECT_GE(again, 1U);
    EXPECT_LT(gathers, 12U);
  }
}

TEST(communication_plan, kinds_of_buckets) {
  model_spec model = equal_units(3, dtype::bf16);
  model.units[1].parameters[0].trainable = false;
  parameter_spec small;
  small.name = "small";
  small.shape = {7};
  small.type = dtype::bf16;
  model.units[2].parameters.push_back(small);
  const planned got = plan_of(model, 4, with("hybrid", 2), 1, 64);
  std::map<std::size_t, std::string> uses;
  for (const planned_operation& o : got.communication.operations) {
    if (o.bucket != no_bucket) uses[o.bucket] += std::string(name_of(o.what)) + " ";
  }
  for (std::size_t b = 0; b < got.of.buckets().size(); ++b) {
    const bucket& shape = got.of.buckets()[b];
    if (shape.resident) {
      EXPECT_EQ(uses[b], "reduce exchange publish ");  // kept whole: told, never gathered
    } else {
      EXPECT_EQ(uses[b], shape.trainable ? "gather reduce exchange " : "gather ");
    }
  }
  EXPECT_EQ(got.of.buckets().size(), 4U);
}

TEST(communication_plan, a_sum_says_how_wide_its_pieces_are) {
  for (const bool wide : {false, true}) {
    plan_options options = with("hybrid", 2);
    options.wide_gradients = wide;
    const planned got = plan_of(equal_units(1, dtype::fp16), 4, options);
    for (const planned_operation& o : got.communication.operations) {
      const dtype kept = wide ? dtype::fp32 : dtype::fp16;
      if (o.what == transfer::reduce) {
        EXPECT_EQ(o.type, dtype::fp16);
        EXPECT_EQ(o.shard_type, kept);
      }
      if (o.what == transfer::exchange) {
        EXPECT_EQ(o.type, kept);
      }
    }
    const communication_volume sum = got.communication.step();
    EXPECT_EQ(sum.reduce_scatter, each * 2);
    EXPECT_EQ(sum.all_gather, each * 2 + each / 2 * size_of(wide ? dtype::fp32 : dtype::fp16) + 96);
    EXPECT_EQ(sum.calls, 4U);
  }
}

TEST(communication_plan, a_world_of_one_says_nothing) {
  for (const std::string& row : policy_names()) {
    EXPECT_TRUE(
        plan_of(equal_units(3, dtype::fp32), 1, with(row, 1), 2).communication.operations.empty());
  }
}

TEST(communication_plan, refuses_other_counts_of_micro_batches) {
  const planned got = plan_of(equal_units(1, dtype::fp32), 2, with("2"), 3);
  for (const int wrong : {-1, 0, 4}) {
    EXPECT_THROW(static_cast<void>(plan_communication(got.of, got.plan, wrong)), invalid_argument);
  }
  EXPECT_EQ(plan_communication(got.of, got.plan, 2).step().calls, 4U);
}

TEST(communication_plan, names_are_told_apart) {
  EXPECT_STREQ(name_of(transfer::gather_again), "gather_again");
  EXPECT_STREQ(name_of(transfer::vote), "vote");
  EXPECT_STREQ(name_of(static_cast<transfer>(99)), "unknown");
}

}  // namespace
}  // namespace zero::partition
