// Bytes by class against the formulas of the ZeRO paper, and slots against a walk of the order.

#include <zero/base/error.hpp>
#include <zero/partition/memory_plan.hpp>

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace zero::partition {
namespace {

constexpr auto parameters = static_cast<std::size_t>(memory_account::parameters);
constexpr auto gradients = static_cast<std::size_t>(memory_account::gradients);
constexpr auto optimizer = static_cast<std::size_t>(memory_account::optimizer);

// Units of awkward sizes; psi elements in all.
model_spec awkward(dtype type) {
  model_spec model;
  for (const std::uint64_t count : {100003U, 7U, 65537U, 1U}) {
    parameter_spec p;
    p.name = "parameter" + std::to_string(count);
    p.shape = {count};
    p.type = type;
    model.units.push_back({"unit" + std::to_string(count), {p}});
  }
  return model;
}

class formulas : public testing::TestWithParam<std::tuple<int, dtype, bool>> {};
INSTANTIATE_TEST_SUITE_P(memory_plan, formulas,
                         testing::Combine(testing::Values(1, 2, 3, 4, 7, 64),
                                          testing::Values(dtype::fp32, dtype::bf16),
                                          testing::Bool()));

TEST_P(formulas, of_the_resting_classes_hold_to_the_byte) {
  const auto [world, type, wide] = GetParam();
  layout_options how;
  how.world_size = world;
  const layout of(awkward(type), how);
  const std::uint64_t psi = 100003 + 7 + 65537 + 1;
  std::uint64_t cut = 0;  // this rank's elements, every bucket padded up to equal shards
  for (const std::uint64_t count : {100003U, 7U, 65537U, 1U}) {
    const std::uint64_t grain = 128 * static_cast<std::uint64_t>(world);
    cut += (count + grain - 1) / grain * 128;
  }
  const std::uint64_t b = size_of(type);
  const std::uint64_t kept = wide ? 4 : b;
  const std::uint64_t states = type == dtype::fp32 ? 8 : 12;
  for (int stage = 0; stage <= 3; ++stage) {
    plan_options options;
    options.policy = policy_of_stage(stage);
    options.wide_gradients = wide;
    const memory_by_account bytes = memory_plan(of, options).bytes();
    const bool alone = world == 1;
    EXPECT_EQ(bytes[parameters], stage == 3 && !alone ? cut * b : psi * b);
    EXPECT_EQ(bytes[gradients], stage >= 2 ? cut * kept : psi * b);
    EXPECT_EQ(bytes[optimizer], stage >= 1 && !alone ? cut * states : psi * states);
  }
}

TEST(memory_plan, the_classic_sixteen_bytes) {
  // 16 psi, 4 psi + 12 psi / N, 2 psi + 14 psi / N, 16 psi / N for a size that needs no padding.
  const std::uint64_t psi = 128 * 4 * 100;
  parameter_spec p;
  p.name = "w";
  p.shape = {psi};
  p.type = dtype::bf16;
  layout_options how;
  how.world_size = 4;
  const layout of({{{"u", {p}}}}, how);
  const std::uint64_t expected[] = {16 * psi, 4 * psi + 12 * psi / 4, 2 * psi + 14 * psi / 4,
                                    16 * psi / 4};
  for (int stage = 0; stage <= 3; ++stage) {
    plan_options options;
    options.policy = policy_of_stage(stage);
    options.wide_gradients = false;
    memory_by_account bytes = memory_plan(of, options).bytes();
    EXPECT_EQ(bytes[parameters] + bytes[gradients] + bytes[optimizer], expected[stage]);
    options.wide_gradients = true;
    bytes = memory_plan(of, options).bytes();
    EXPECT_EQ(bytes[parameters] + bytes[gradients] + bytes[optimizer],
              expected[stage] + (stage >= 2 ? 2 * psi / 4 : 0));
  }
}

TEST_P(formulas, of_the_rows_with_groups_hold_to_the_byte) {
  const auto [world, type, wide] = GetParam();
  layout_options how;
  how.world_size = world;
  const layout of(awkward(type), how);
  const std::uint64_t b = size_of(type);
  const std::uint64_t kept = wide ? 4 : b;
  const std::uint64_t states = type == dtype::fp32 ? 8 : 12;
  for (int size = 2; size < world; ++size) {
    if (world % size != 0) continue;
    std::uint64_t cut = 0;
    for (const std::uint64_t count : {100003U, 7U, 65537U, 1U}) {
      const std::uint64_t grain = 128 * static_cast<std::uint64_t>(world);
      cut += (count + grain - 1) / grain * 128;
    }
    const std::uint64_t run = cut * static_cast<std::uint64_t>(world / size);
    const auto expect = [&](const char* row, std::array<std::uint64_t, 3> classes) {
      plan_options options;
      options.policy = policy_of_name(row, size);
      options.wide_gradients = wide;
      for (const int reductions : {1, 3}) {  // accumulating takes no more
        options.reductions = reductions;
        const memory_by_account bytes = memory_plan(of, options).bytes();
        EXPECT_EQ(bytes[parameters], classes[0]) << row << " " << size;
        EXPECT_EQ(bytes[gradients], classes[1]) << row << " " << size;
        EXPECT_EQ(bytes[optimizer], classes[2]) << row << " " << size;
      }
    };
    expect("hybrid", {run * b, run * kept, run * states});
    expect("mics", {run * b, run * kept, run * states});
    expect("hybrid1", {run * b, cut * kept, cut * states});
    expect("hpz", {(cut + run) * b, cut * kept, cut * states});
  }
}

TEST(memory_plan, groups_of_one_and_of_all_take_what_the_plain_rows_take) {
  for (const int world : {1, 2, 6}) {
    layout_options how;
    how.world_size = world;
    how.resident_bytes = 64;
    const layout of(awkward(dtype::bf16), how);
    const auto bytes = [&](const char* row, int size) {
      plan_options options;
      options.policy = policy_of_name(row, size);
      return memory_plan(of, options).bytes();
    };
    for (const char* row : {"hybrid", "hybrid1", "hpz"})
      EXPECT_EQ(bytes(row, world), bytes("3", 0));
    if (world == 1) continue;
    EXPECT_EQ(bytes("hybrid", 1), bytes("0", 0));
    EXPECT_EQ(bytes("hybrid1", 1), bytes("2", 0));
    // A second copy of all that is not resident, whole; its padding is told apart.
    memory_by_account expected = bytes("3", 0);
    std::uint64_t padded = 0;
    for (const bucket& b : of.buckets()) {
      if (!b.resident) {
        expected[parameters] += b.payload * 2;
        padded += (b.padded - b.payload) * 2;
      }
    }
    expected[static_cast<std::size_t>(memory_account::buffers)] += padded;
    EXPECT_EQ(bytes("hpz", 1), expected);
  }
}

// The places where a reduced piece and what is gathered around it lie are large enough, and a
// collective's input never lies where it writes but in place.
TEST(memory_plan, reduced_gradients_fit_where_they_are_put) {
  using so = sharded_over;
  int fronts = 0;
  for (const int size : {1, 2, 3, 6}) {
    const std::vector<sharding_policy> policies{{so::nobody, so::nobody, so::nobody, false, size},
                                                {so::nobody, so::nobody, so::group, false, size},
                                                {so::nobody, so::nobody, so::world, false, size},
                                                {so::nobody, so::group, so::group, false, size},
                                                {so::nobody, so::world, so::world, false, size},
                                                {so::group, so::group, so::group, false, size},
                                                {so::group, so::world, so::world, false, size},
                                                {so::world, so::world, so::world, true, size}};
    for (const sharding_policy& policy : policies) {
      for (const dtype type : {dtype::fp32, dtype::bf16}) {
        for (const int variant : {0, 1, 2, 3, 4, 5, 6, 7}) {
          layout_options how;
          how.world_size = 6;
          const layout of(awkward(type), how);
          plan_options options;
          options.policy = policy;
          options.wide_gradients = (variant & 1) != 0;
          options.reductions = (variant & 2) != 0 ? 3 : 1;
          options.keep_gradients = (variant & 4) != 0;
          const memory_plan plan(of, options);
          std::map<std::pair<purpose, std::size_t>, std::uint64_t> room;
          for (const allocation& a : plan.allocations()) {
            room[{a.what, a.index}] = a.payload + a.padding;
          }
          for (std::size_t i = 0; i < of.buckets().size(); ++i) {
            const bucket& b = of.buckets()[i];
            const bucket_plan& p = plan.buckets()[i];
            const std::uint64_t kept = size_of(p.reduced_type);
            const std::uint64_t run = plan.elements(b, p.optimizer) * kept;
            const std::uint64_t full = room[{purpose::gradient, i}];
            if (p.full_gradient) {
              ASSERT_EQ(full, b.padded * size_of(type));
            }
            // Where the lone piece lies, or the run it is part of.
            const std::uint64_t piece = p.update == updated_from::around ? run : b.shard * kept;
            if (p.reduced == reduced_in::shard) {
              EXPECT_EQ((room[{purpose::gradient_shard, i}]), piece);
            }
            if (p.reduced == reduced_in::full_front) {
              ASSERT_TRUE(p.full_gradient);
              EXPECT_LE(piece, full);
              EXPECT_EQ((room[{purpose::reduced_staging, 1}]) >= b.shard * kept, true);
              ++fronts;
            }
            if (p.reduced == reduced_in::own_piece) {
              EXPECT_EQ(kept, size_of(type));
            }
            if (p.update == updated_from::full_front) {
              ASSERT_TRUE(p.full_gradient);
              EXPECT_LE(run, full);
              EXPECT_EQ(p.reduced, reduced_in::shard);  // apart from what it is gathered to
            }
            if (p.update == updated_from::apart) {
              EXPECT_GE((room[{purpose::gathered_gradient, 0}]), run);
            }
            if (p.update == updated_from::reduced) {
              EXPECT_EQ(run, b.shard * kept);
            }
          }
        }
      }
    }
  }
  EXPECT_GT(fronts, 0);
}

// Else scaling would round in a world of one what it does not round in others.
TEST(memory_plan, gradients_scaled_in_place_are_as_wide_in_a_world_of_one) {
  for (const int world : {1, 2, 3}) {
    for (int stage = 0; stage <= 3; ++stage) {
      for (const bool wide : {false, true}) {
        const layout of(awkward(dtype::bf16), {world});
        plan_options options;
        options.policy = policy_of_stage(stage);
        options.wide_gradients = wide;
        const memory_plan plain(of, options);
        options.scaled_in_place = true;
        const memory_plan plan(of, options);
        for (const bucket_plan& b : plan.buckets()) {
          EXPECT_EQ(b.reduced_type, wide ? dtype::fp32 : dtype::bf16);
        }
        const auto buffers = static_cast<std::size_t>(memory_account::buffers);
        const bool widened = world == 1 && stage < 2 && wide;
        EXPECT_EQ(plan.bytes()[buffers] - plain.bytes()[buffers], widened ? 4 * of.padded() : 0U);
        EXPECT_EQ(plan.bytes()[gradients], plain.bytes()[gradients]);
      }
    }
  }
}

TEST(memory_plan, refuses_what_cannot_be) {
  const layout of(awkward(dtype::fp32), {});
  const auto refused = [&](auto change) {
    plan_options options;
    change(options);
    EXPECT_THROW(memory_plan(of, options), invalid_argument);
  };
  refused([](plan_options& o) { o.reductions = 0; });
  refused([](plan_options& o) { o.prefetch = -1; });
  refused([](plan_options& o) { o.forward_order = {4}; });
  refused([](plan_options& o) { o.policy.gradients = sharded_over::world; });
}

// Walks an order as the engine does and checks that the plan never puts two live units in a slot.
void expect_no_clash(const slot_plan& plan, const std::vector<std::uint64_t>& bytes,
                     std::size_t ahead) {
  for (std::size_t now = 0; now < plan.uses.size(); ++now) {
    std::map<std::size_t, int> live;
    for (std::size_t use = now; use <= now + ahead && use < plan.uses.size(); ++use) {
      const auto [unit, slot] = plan.uses[use];
      const auto need = bytes[static_cast<std::size_t>(unit)];
      ASSERT_EQ(slot == no_slot, need == 0);
      if (need == 0) continue;
      ASSERT_LE(need, plan.slot_bytes[slot]);
      const auto [at, fresh] = live.emplace(slot, unit);
      ASSERT_TRUE(fresh || at->second == unit) << "two units in slot " << slot << " at " << now;
    }
  }
}

TEST(slot_plan, never_puts_two_live_units_in_one_slot) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const int units = 1 + static_cast<int>(random() % 9);
    std::vector<std::uint64_t> bytes;
    for (int u = 0; u < units; ++u) bytes.push_back(random() % 5 == 0 ? 0 : 64 * (random() % 50));
    std::vector<int> order;
    for (int i = 0; i < 30; ++i)
      order.push_back(static_cast<int>(random() % static_cast<unsigned>(units)));
    const int ahead = static_cast<int>(random() % 4);
    expect_no_clash(plan_gathers(order, bytes, ahead), bytes, static_cast<std::size_t>(ahead));
  }
}

TEST(slot_plan, equal_units_need_one_slot_more_than_the_prefetch) {
  const std::vector<std::uint64_t> bytes(12, 640);
  std::vector<int> order;
  for (int u = 0; u < 12; ++u) order.push_back(u);
  for (int u = 11; u >= 0; --u) order.push_back(u);
  for (int ahead = 0; ahead <= 3; ++ahead) {
    EXPECT_EQ(plan_gathers(order, bytes, ahead).slot_bytes.size(),
              static_cast<std::size_t>(ahead) + 1);
  }
}

TEST(slot_plan, one_large_unit_does_not_make_every_slot_large) {
  // An embedding first, last and at the turn, as tied weights want it.
  std::vector<std::uint64_t> bytes(14, 1000);
  bytes[0] = 50000;
  std::vector<int> order;
  for (int u = 0; u < 14; ++u) order.push_back(u);
  order.push_back(0);
  const std::vector<int> back(order.rbegin(), order.rend());
  order.insert(order.end(), back.begin(), back.end());
  EXPECT_LE(plan_gathers(order, bytes, 1).total_bytes(), 52000U);
}

TEST(slot_plan, gradients_live_from_first_to_last_use_and_one_longer) {
  const std::vector<std::uint64_t> bytes{500, 100, 100, 100};
  const std::vector<int> order{0, 3, 2, 1, 0};
  const slot_plan plan = plan_spans(order, bytes, 1);
  std::set<std::size_t> of_first;
  for (const slot_use& use : plan.uses) {
    if (use.unit == 0) of_first.insert(use.slot);
  }
  EXPECT_EQ(of_first.size(), 1U);
  EXPECT_EQ(plan.slot_bytes.size(), 3U);  // unit 0 throughout, two for the others in turn
  EXPECT_EQ(plan.total_bytes(), 700U);
  for (std::size_t i = 1; i + 1 < plan.uses.size(); ++i) {
    EXPECT_NE(plan.uses[i].slot, plan.uses[i + 1].slot);
  }
}

}  // namespace
}  // namespace zero::partition
