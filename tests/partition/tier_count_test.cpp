// Plans of what is off the device against a count of their own, over every row, tier, world, dtype
// and way to accumulate.

#include "tier_choices.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace zero::partition::testing {
namespace {

std::uint64_t up(std::uint64_t bytes, std::uint64_t grain) {
  return (bytes + grain - 1) / grain * grain;
}

// What a bucket should be, said in other words than the plan's.
struct expected_bucket {
  bool parameters_off = false;
  bool gradients_off = false;
  bool optimizer_off = false;
  std::uint64_t pieces = 0;  // that are walked
  std::uint64_t gradient_bytes = 0;
  std::uint64_t added_bytes = 0;
};

class count {
 public:
  count(const tier_choice& c, const layout& of, const memory_plan& plan)
      : c_(c), of_(of), plan_(plan), policy_(resolved(c.options().policy, c.world)) {
    for (const bucket& b : of.buckets()) buckets_.push_back(expect(b));
  }

  void check() {
    cells_cover_shards();
    as_much_is_down_as_was_asked();
    records_are_what_cells_hold();
    classes_hold_what_is_not_off();
    blocks_hold_the_largest();
    transients();
    expect_same_tallies(of_, plan_);
  }

 private:
  [[nodiscard]] bool alone() const { return c_.world == 1; }
  [[nodiscard]] bool repeated() const { return c_.reductions > 1 && !c_.keep; }
  [[nodiscard]] tier gradients() const {
    if (policy_.gradients != sharded_over::world) return tier::device;
    if (c_.tiers.gradients) return *c_.tiers.gradients;
    return c_.tiers.optimizer_ratio < 1 ? tier::device : c_.tiers.optimizer;
  }

  [[nodiscard]] std::uint64_t pieces_over(sharded_over over) const {
    if (over == sharded_over::world) return 1;
    const auto world = static_cast<std::uint64_t>(c_.world);
    return over == sharded_over::group ? world / static_cast<std::uint64_t>(policy_.group_size)
                                       : world;
  }

  [[nodiscard]] expected_bucket expect(const bucket& b) const {
    expected_bucket e;
    e.parameters_off = !b.resident && c_.tiers.parameters != tier::device;
    e.gradients_off = b.trainable && gradients() != tier::device;
    e.optimizer_off =
        b.trainable && c_.tiers.optimizer != tier::device && c_.tiers.optimizer_ratio > 0;
    const sharded_over over = b.trainable  ? policy_.optimizer
                              : b.resident ? sharded_over::nobody
                                           : policy_.parameters;
    e.pieces = alone() ? 1 : pieces_over(over);
    const bool narrow = b.type != dtype::fp32 && !c_.wide;
    e.gradient_bytes = narrow ? 2 : 4;
    // A lone rank that keeps full gradients has nothing wider.
    if (alone() && policy_.gradients == sharded_over::nobody && !repeated()) {
      e.gradient_bytes = size_of(b.type);
    }
    e.added_bytes = repeated() ? 4 : e.gradient_bytes;
    return e;
  }

  // fp32 AdamW: two states, and master weights where parameters are not those themselves.
  [[nodiscard]] std::uint64_t optimizer_bytes(const cell& k, bool down) const {
    const bucket& b = of_.buckets()[k.bucket];
    if (!b.trainable) return 0;
    const bool apart = b.type != dtype::fp32 || (down && !buckets_[k.bucket].parameters_off);
    return k.count * (apart ? 12 : 8);
  }

  void cells_cover_shards() {
    std::size_t next = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      const bucket& b = of_.buckets()[i];
      const expected_bucket& e = buckets_[i];
      const bool off = e.parameters_off || e.gradients_off || e.optimizer_off;
      std::uint64_t at = 0;
      for (const cell& k : plan_.cells_of(i)) {
        EXPECT_EQ(&k, &plan_.cells()[next++]);
        EXPECT_EQ(k.bucket, i);
        EXPECT_EQ(k.begin, at);
        EXPECT_GT(k.count, 0U);
        EXPECT_EQ(k.count % 128, 0U);
        at += k.count;
        if (!off) continue;
        EXPECT_LE(k.count, c_.tiers.cell_elements);
        EXPECT_EQ(k.begin / b.shard, (at - 1) / b.shard) << "crosses a piece";
      }
      const bool walked = b.trainable || e.parameters_off;
      EXPECT_EQ(at, walked ? e.pieces * b.shard : 0);
      if (!off && walked) {
        EXPECT_EQ(plan_.cells_of(i).size(), 1U);
      }
      if (off) {
        // No more cells than it takes.
        const std::uint64_t each = (b.shard + c_.tiers.cell_elements - 1) / c_.tiers.cell_elements;
        EXPECT_EQ(plan_.cells_of(i).size(), e.pieces * each);
      }
    }
    EXPECT_EQ(next, plan_.cells().size());
  }

  void as_much_is_down_as_was_asked() {
    double down = 0;
    double seen = 0;
    double largest = 0;
    for (const cell& k : plan_.cells()) {
      const expected_bucket& e = buckets_[k.bucket];
      const bool sixteen = of_.buckets()[k.bucket].type != dtype::fp32;
      const bool trainable = of_.buckets()[k.bucket].trainable;
      EXPECT_EQ(k.master, trainable && (sixteen || (k.down && !e.parameters_off)));
      EXPECT_TRUE(e.optimizer_off || !k.down);
      if (!e.optimizer_off) continue;
      const double bytes = static_cast<double>(optimizer_bytes(k, true));
      seen += bytes;
      if (k.down) down += bytes;
      largest = std::max(largest, bytes);
      EXPECT_LE(std::abs(down - c_.tiers.optimizer_ratio * seen), largest / 2 + 1e-6);
      const double otherwise = k.down ? down - bytes : down + bytes;
      EXPECT_LE(std::abs(down - c_.tiers.optimizer_ratio * seen),
                std::abs(otherwise - c_.tiers.optimizer_ratio * seen) + 1e-6);
      if (c_.tiers.optimizer_ratio == 1) {
        EXPECT_TRUE(k.down);
      }
    }
  }

  void records_are_what_cells_hold() {
    std::vector<std::uint64_t> optimizer;
    std::vector<std::uint64_t> gradient;
    std::vector<std::uint64_t> resting;
    const auto expect_in = [](std::vector<std::uint64_t>& records, bool there, std::size_t record,
                              std::uint64_t bytes) {
      EXPECT_EQ(record, there ? records.size() : no_record);
      if (there) records.push_back(bytes);
    };
    for (const cell& k : plan_.cells()) {
      const expected_bucket& e = buckets_[k.bucket];
      expect_in(optimizer, k.down, k.optimizer_record, optimizer_bytes(k, true));
      expect_in(gradient, e.gradients_off, k.gradient_record, k.count * e.gradient_bytes);
      expect_in(resting, e.parameters_off, k.parameter_record,
                k.count * size_of(of_.buckets()[k.bucket].type));
      EXPECT_EQ(plan_.array_bytes(k), optimizer_bytes(k, k.down));
      for (std::size_t array = 0; array < 3; ++array) {
        EXPECT_EQ(plan_.array_offset(k, array), array * 4 * k.count);
      }
    }
    const auto expect_class = [&](tier_class which, const std::vector<std::uint64_t>& records,
                                  tier asked) {
      EXPECT_EQ(plan_.records(which), records);
      const tier rests = records.empty() ? tier::device : asked;
      EXPECT_EQ(plan_.tier_of(which), rests);
      std::uint64_t total = 0;
      for (const std::uint64_t bytes : records) total += up(bytes, rests == tier::disk ? 4096 : 64);
      off_[rests == tier::disk ? memory_account::disk : memory_account::host] += total;
      expected_[{purpose::tier_records, static_cast<std::size_t>(which)}] = total;
    };
    expect_class(tier_class::optimizer, optimizer, c_.tiers.optimizer);
    expect_class(tier_class::gradients, gradient, gradients());
    expect_class(tier_class::parameters, resting, c_.tiers.parameters);
  }

  void classes_hold_what_is_not_off() {
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      const bucket& b = of_.buckets()[i];
      const expected_bucket& e = buckets_[i];
      EXPECT_EQ(plan_.buckets()[i].parameter_tier,
                e.parameters_off ? c_.tiers.parameters : tier::device);
      EXPECT_EQ(plan_.buckets()[i].gradient_tier, e.gradients_off ? gradients() : tier::device);
      const bool cut = !b.resident && is_sharded(policy_.parameters) &&
                       (!alone() || c_.tiers.parameters != tier::device);
      EXPECT_EQ(plan_.buckets()[i].gathered, cut);
      const std::uint64_t held = cut ? pieces_over(policy_.parameters) * b.shard : b.padded;
      expected_[{purpose::parameter, i}] = e.parameters_off ? 0 : held * size_of(b.type);
      std::uint64_t kept = 0;
      for (const cell& k : plan_.cells_of(i)) {
        if (!b.trainable || k.down) continue;
        EXPECT_EQ(k.at, kept);
        kept += optimizer_bytes(k, false);
      }
      expected_[{purpose::optimizer, i}] = kept;
      if (e.gradients_off) expected_[{purpose::gradient_shard, i}] = 0;
    }
  }

  void blocks_hold_the_largest() {
    std::uint64_t host[3] = {0, 0, 0};
    std::uint64_t device[3] = {0, 0, 0};
    std::uint64_t bounce = 0;
    for (const cell& k : plan_.cells()) {
      const bucket& b = of_.buckets()[k.bucket];
      const expected_bucket& e = buckets_[k.bucket];
      const std::uint64_t gradient = k.count * e.gradient_bytes;
      const std::uint64_t parameter = k.count * size_of(b.type);
      const auto most = [](std::uint64_t& a, std::uint64_t bytes) { a = std::max(a, bytes); };
      const bool parameter_on_disk = e.parameters_off && c_.tiers.parameters == tier::disk;
      if (parameter_on_disk) most(bounce, parameter);
      if (!b.trainable) continue;
      if (k.down) {
        if (c_.tiers.optimizer == tier::disk) most(host[0], optimizer_bytes(k, true));
        const bool far_gradient = e.gradients_off ? gradients() == tier::disk : c_.apart;
        const bool far_parameter = e.parameters_off ? parameter_on_disk : c_.apart;
        if (far_gradient) most(host[1], gradient);
        if (far_parameter) most(host[2], parameter);
      } else {
        const bool far_gradient = c_.apart || gradients() == tier::disk;
        const bool far_parameter = c_.apart || parameter_on_disk;
        if (e.gradients_off && far_gradient) most(device[1], gradient);
        if (e.parameters_off && far_parameter) most(device[2], parameter);
      }
      if (gradients() == tier::disk) most(bounce, gradient);
      if (e.gradients_off && repeated()) most(bounce, k.count * e.added_bytes);
    }
    const auto expect_block = [&](const cell_block& block, const std::uint64_t* bytes,
                                  purpose what) {
      const cell_block::part* parts[] = {&block.optimizer, &block.gradient, &block.parameter};
      std::uint64_t end = 0;
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(parts[i]->at, end);
        EXPECT_EQ(parts[i]->bytes, up(bytes[i], 4096));
        end += up(bytes[i], 4096);
      }
      EXPECT_EQ(block.bytes, end);
      for (int i = 0; i < c_.tiers.depth; ++i) expected_[{what, static_cast<std::size_t>(i)}] = end;
    };
    expect_block(plan_.host_block(), host, purpose::cell_host);
    expect_block(plan_.device_block(), device, purpose::cell_device);
    const std::uint64_t bounces = static_cast<std::uint64_t>(c_.tiers.bounces) * up(bounce, 4096);
    expected_[{purpose::bounce, 0}] = bounces;
    off_[memory_account::host] +=
        bounces + static_cast<std::uint64_t>(c_.tiers.depth) * plan_.host_block().bytes;
  }

  void transients() {
    std::uint64_t staging = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      const bucket& b = of_.buckets()[i];
      const expected_bucket& e = buckets_[i];
      if (!e.gradients_off) continue;
      const bool fits = e.added_bytes == size_of(b.type);
      EXPECT_EQ(plan_.buckets()[i].reduced, !fits     ? reduced_in::staged
                                            : alone() ? reduced_in::local
                                                      : reduced_in::own_piece);
      EXPECT_EQ(size_of(plan_.buckets()[i].reduced_type), e.gradient_bytes);
      EXPECT_EQ(size_of(plan_.added_type(plan_.buckets()[i])), e.added_bytes);
      EXPECT_EQ(plan_.buckets()[i].update, updated_from::reduced);
      if (!fits) staging = std::max(staging, b.shard * e.added_bytes);
    }
    expected_[{purpose::gradient_staging, 0}] = staging;
    expected_[{purpose::gradient_staging, 1}] = staging;
    expected_[{purpose::squares, 0}] = gradients() != tier::device ? 8 * buckets_.size() : 0;

    // Slots for all that is gathered, and the rest as on the device.
    plan_options all = c_.options();
    all.tiers = tiering{};
    const memory_plan device(of_, all);
    std::vector<std::uint64_t> slots(of_.model().units.size(), 0);
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      const bucket& b = of_.buckets()[i];
      if (plan_.buckets()[i].gathered) {
        slots[static_cast<std::size_t>(b.unit)] += up(b.padded * size_of(b.type), 64);
      }
    }
    const slot_plan gathered = plan_gathers(std::vector<int>{0, 1, 2, 2, 1, 0}, slots, 1);
    for (std::size_t i = 0; i < gathered.slot_bytes.size(); ++i) {
      expected_[{purpose::parameter_slot, i}] = gathered.slot_bytes[i];
    }
    std::map<place, allocation> found = by_place(plan_);
    std::map<place, allocation> before = by_place(device);
    for (const auto& [at, a] : before) expected_.emplace(at, a.payload + a.padding);
    memory_by_account sum{};
    for (const auto& [at, a] : found) {
      ASSERT_EQ(expected_.count(at), 1U) << static_cast<int>(at.first) << " " << at.second;
      sum[static_cast<std::size_t>(a.account)] += a.payload;
    }
    for (const auto& [at, bytes] : expected_) {
      const auto a = found.find(at);
      EXPECT_EQ(a == found.end() ? 0 : a->second.payload + a->second.padding, bytes)
          << static_cast<int>(at.first) << " " << at.second;
    }
    if (c_.apart) off_[memory_account::host] += 256 * 1024 + 32;  // host_staging
    EXPECT_EQ(sum[static_cast<std::size_t>(memory_account::host)], off_[memory_account::host]);
    EXPECT_EQ(sum[static_cast<std::size_t>(memory_account::disk)], off_[memory_account::disk]);
    std::uint64_t peak = 0;
    for (const auto& [at, a] : found) {
      if (a.account != memory_account::disk) peak += a.payload + a.padding;
    }
    EXPECT_EQ(plan_.peak(), peak);
  }

  const tier_choice& c_;
  const layout& of_;
  const memory_plan& plan_;
  sharding_policy policy_;
  std::vector<expected_bucket> buckets_;
  std::map<place, std::uint64_t> expected_;
  std::map<memory_account, std::uint64_t> off_;
};

class tiers : public ::testing::TestWithParam<std::tuple<std::string, int>> {};
INSTANTIATE_TEST_SUITE_P(tier_plan, tiers,
                         ::testing::Combine(::testing::Values("0", "1", "2", "3", "hybrid",
                                                              "hybrid1", "hpz"),
                                            ::testing::Values(1, 2, 3, 6, 7)));

bool refused(const tier_choice& c) {
  const sharding_policy policy = resolved(c.options().policy, c.world);
  const bool parameters_rest =
      is_sharded(policy.parameters) && policy.parameters == policy.optimizer;
  const bool gradients_rest = policy.gradients == sharded_over::world;
  return (c.tiers.parameters != tier::device && !parameters_rest) ||
         (c.tiers.gradients.value_or(tier::device) != tier::device && !gradients_rest);
}

TEST_P(tiers, every_byte_is_counted) {
  constexpr tier all[] = {tier::device, tier::host, tier::disk};
  tier_choice c;
  std::tie(c.row, c.world) = GetParam();
  int planned = 0;
  const auto one = [&] {
    SCOPED_TRACE(c.text());
    const layout of = odd_layout(c.type, c.world);
    if (refused(c)) {
      EXPECT_THROW(memory_plan(of, c.options()), invalid_argument);
      return;
    }
    const memory_plan plan(of, c.options());
    count(c, of, plan).check();
    ++planned;
  };
  c.tiers.cell_elements = 2048;
  c.tiers.depth = 3;
  c.tiers.bounces = 5;
  for (const tier optimizer : all) {
    for (const int gradients : {-1, 0, 1, 2}) {
      for (const tier parameters : all) {
        c.tiers.optimizer = optimizer;
        c.tiers.gradients.reset();
        if (gradients >= 0) c.tiers.gradients = all[gradients];
        c.tiers.parameters = parameters;
        for (const dtype type : {dtype::fp32, dtype::bf16}) {
          for (const int how : {0, 1, 2}) {
            for (const double ratio : {0.0, 0.3, 1.0}) {
              c.type = type;
              c.reductions = how == 0 ? 1 : 3;
              c.keep = how == 2;
              c.tiers.optimizer_ratio = ratio;
              for (const int variant : {0, 1, 2, 3}) {
                c.wide = variant % 2 == 0;
                c.apart = variant < 2;
                one();
                if (::testing::Test::HasFailure()) return;
              }
            }
          }
        }
      }
    }
  }
  EXPECT_GE(planned, 432);
}

}  // namespace
}  // namespace zero::partition::testing
