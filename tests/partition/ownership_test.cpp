// Every element is owned exactly once, and by whom. The oracle knows no arithmetic of shards: it
// lists the elements of every bucket one by one and deals them out.

#include "sample_models.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace zero::partition::testing {
namespace {

struct owned {
  std::size_t bucket = no_bucket;
  std::uint64_t rank = 0;
  std::uint64_t slot = 0;  // element of the rank's shard
  int times = 0;
};
using owners = std::vector<std::vector<owned>>;  // [parameter][element]

std::uint64_t elements_of(const parameter_spec& p) {
  std::uint64_t count = 1;
  for (const std::uint64_t extent : p.shape) count *= extent;
  return p.tied_to.empty() ? count : 0;
}

struct expected_bucket {
  int unit;
  const parameter_spec* first;
  bool resident;
  std::vector<std::size_t> members;
  std::uint64_t payload = 0;
};

// Buckets in the promised order, and who is in them, straight from what was registered.
std::vector<expected_bucket> expected_buckets(const layout& l) {
  std::vector<expected_bucket> buckets;
  std::size_t index = 0;
  for (std::size_t u = 0; u < l.model().units.size(); ++u) {
    for (const parameter_spec& p : l.model().units[u].parameters) {
      const std::size_t here = index++;
      const std::uint64_t count = elements_of(p);
      if (count == 0) continue;
      const bool resident = count * size_of(p.type) <= l.options().resident_bytes;
      auto at = std::find_if(buckets.begin(), buckets.end(), [&](const expected_bucket& b) {
        return b.unit == static_cast<int>(u) && b.first->type == p.type &&
               b.first->trainable == p.trainable && b.resident == resident;
      });
      if (at == buckets.end()) {
        at = buckets.insert(buckets.end(), {static_cast<int>(u), &p, resident, {}, 0});
      }
      at->members.push_back(here);
      at->payload += count;
    }
  }
  return buckets;
}

// What pieces() says, element by element; checks on the way that no slot is given twice.
owners owners_by_pieces(const layout& l) {
  owners found(l.parameters().size());
  for (const placement& p : l.parameters()) {
    if (p.storage == p.index) found[p.index].resize(p.count);
  }
  for (std::size_t b = 0; b < l.buckets().size(); ++b) {
    for (int rank = 0; rank < l.world_size(); ++rank) {
      std::uint64_t filled = 0;
      for (const piece& run : l.pieces(b, rank)) {
        EXPECT_GT(run.count, 0U);
        EXPECT_GE(run.shard_offset, filled);
        filled = run.shard_offset + run.count;
        EXPECT_LE(filled, l.buckets()[b].shard);
        // There and back: the placement leads to the same element of the bucket.
        const placement& p = l.parameters()[run.parameter];
        EXPECT_EQ(p.bucket, b);
        EXPECT_EQ(p.offset + run.parameter_offset,
                  static_cast<std::uint64_t>(rank) * l.buckets()[b].shard + run.shard_offset);
        auto& elements = found[run.parameter];
        for (std::uint64_t k = 0; k < run.count; ++k) {
          owned& e = elements.at(run.parameter_offset + k);
          e = {b, static_cast<std::uint64_t>(rank), run.shard_offset + k, e.times + 1};
        }
      }
    }
  }
  return found;
}

// Deals the elements of a flat bucket to slots one by one.
void expect_flat(const layout& l, std::size_t b, const expected_bucket& expected,
                 const owners& found) {
  const auto world = static_cast<std::uint64_t>(l.world_size());
  std::uint64_t shard = 0;
  while (shard * world < expected.payload) shard += l.options().alignment;
  ASSERT_EQ(l.buckets()[b].shard, shard);
  std::uint64_t rank = 0;
  std::uint64_t slot = 0;
  for (const std::size_t index : expected.members) {
    for (const owned& e : found[index]) {
      ASSERT_EQ(std::tie(e.rank, e.slot), std::tie(rank, slot)) << "parameter " << index;
      if (++slot == shard) {
        slot = 0;
        ++rank;
      }
    }
  }
}

// Gives whole parameters away, the largest left to the poorest, by looking at everybody each time.
void expect_whole(const layout& l, std::size_t b, const expected_bucket& expected,
                  const owners& found) {
  std::vector<std::uint64_t> loads(static_cast<std::size_t>(l.world_size()));
  std::vector<std::size_t> left = expected.members;
  while (!left.empty()) {
    auto largest = left.begin();
    for (auto it = left.begin(); it != left.end(); ++it) {
      if (found[*it].size() > found[*largest].size()) largest = it;
    }
    const auto poorest = std::min_element(loads.begin(), loads.end());
    const auto rank = static_cast<std::uint64_t>(poorest - loads.begin());
    for (std::size_t k = 0; k < found[*largest].size(); ++k) {
      const owned& e = found[*largest][k];
      ASSERT_EQ(e.rank, rank) << "parameter " << *largest;
      ASSERT_EQ(e.slot, found[*largest][0].slot + k);  // one run
    }
    *poorest += found[*largest].size();
    left.erase(largest);
  }
  std::uint64_t shard = 0;
  while (shard < *std::max_element(loads.begin(), loads.end())) shard += l.options().alignment;
  ASSERT_EQ(l.buckets()[b].shard, shard);
}

void expect_bucket(const layout& l, std::size_t b, const expected_bucket& expected) {
  const bucket& actual = l.buckets()[b];
  const auto world = static_cast<std::uint64_t>(l.world_size());
  EXPECT_EQ(actual.unit, expected.unit);
  EXPECT_EQ(actual.type, expected.first->type);
  EXPECT_EQ(actual.trainable, expected.first->trainable);
  EXPECT_EQ(actual.resident, expected.resident);
  EXPECT_EQ(actual.payload, expected.payload);
  EXPECT_EQ(actual.padded, actual.shard * world);
  EXPECT_EQ(actual.shard % l.options().alignment, 0U);
  EXPECT_GE(actual.padded, actual.payload);
  if (l.options().kind == layout_kind::flat) {
    EXPECT_LT(actual.padded - actual.payload, world * l.options().alignment);
  }
}

// Tied parameters are where their storage is, others are their own storage.
void expect_ties(const layout& l) {
  std::map<std::string, std::size_t> by_name;
  std::size_t index = 0;
  for (const unit_spec& unit : l.model().units) {
    for (const parameter_spec& spec : unit.parameters) {
      by_name[spec.name] = index;
      const placement& p = l.parameters()[index];
      const std::size_t storage = spec.tied_to.empty() ? index : by_name.at(spec.tied_to);
      const placement& s = l.parameters()[storage];
      ASSERT_EQ(p.index, index);
      ASSERT_EQ(p.storage, storage) << spec.name;
      ASSERT_EQ(std::tie(p.unit, p.bucket, p.offset, p.count),
                std::tie(s.unit, s.bucket, s.offset, s.count))
          << spec.name;
      ++index;
    }
  }
}

void expect_owned_once(const layout& l) {
  expect_ties(l);

  const std::vector<expected_bucket> expected = expected_buckets(l);
  ASSERT_EQ(l.buckets().size(), expected.size());
  const owners found = owners_by_pieces(l);
  std::size_t index = 0;
  for (const unit_spec& unit : l.model().units) {
    for (const parameter_spec& p : unit.parameters) {
      ASSERT_EQ(found[index].size(), elements_of(p)) << p.name;
      for (const owned& e : found[index]) ASSERT_EQ(e.times, 1) << p.name;
      ++index;
    }
  }
  ASSERT_EQ(index, l.parameters().size());
  std::uint64_t payload = 0;
  std::uint64_t padded = 0;
  std::map<int, std::vector<std::size_t>> of_unit;
  for (std::size_t b = 0; b < expected.size(); ++b) {
    expect_bucket(l, b, expected[b]);
    for (const std::size_t i : expected[b].members) {
      for (const owned& e : found[i]) ASSERT_EQ(e.bucket, b);
    }
    l.options().kind == layout_kind::flat ? expect_flat(l, b, expected[b], found)
                                          : expect_whole(l, b, expected[b], found);
    payload += expected[b].payload;
    padded += l.buckets()[b].padded;
    of_unit[expected[b].unit].push_back(b);
  }
  EXPECT_EQ(l.payload(), payload);
  EXPECT_EQ(l.padded(), padded);
  for (int u = 0; u < static_cast<int>(l.model().units.size()); ++u) {
    const auto listed = l.buckets_of(u);
    EXPECT_EQ(std::vector<std::size_t>(listed.begin(), listed.end()), of_unit[u]);
  }
}

class ownership : public ::testing::TestWithParam<std::tuple<int, layout_kind>> {
 protected:
  static layout_options options() {
    layout_options o;
    std::tie(o.world_size, o.kind) = GetParam();
    return o;
  }
};

INSTANTIATE_TEST_SUITE_P(
    worlds, ownership,
    ::testing::Combine(::testing::Values(1, 2, 3, 7, 8, 64, 1024),
                       ::testing::Values(layout_kind::flat, layout_kind::whole)),
    [](const auto& param_info) {
      return std::string(std::get<1>(param_info.param) == layout_kind::flat ? "flat" : "whole") +
             "_" + std::to_string(std::get<0>(param_info.param));
    });

TEST_P(ownership, sizes) {
  const std::vector<std::vector<std::uint64_t>> models{{},
                                                       {0},
                                                       {1},
                                                       {2},
                                                       {13},
                                                       {127},
                                                       {128},
                                                       {129},
                                                       {1009},
                                                       {0, 0, 0},
                                                       {1, 1, 1},
                                                       {0, 1, 0},
                                                       {5, 0, 13},
                                                       {8191},
                                                       {131072},
                                                       {131073},
                                                       {262147},
                                                       {7, 7, 7, 7},
                                                       {3, 1009, 0, 64, 1, 4096, 2, 769},
                                                       {4096, 1, 1},
                                                       {1, 4096},
                                                       {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}};
  for (const auto& sizes : models) {
    for (const std::uint64_t alignment : {1, 3, 8, 128}) {
      layout_options o = options();
      o.alignment = alignment;
      SCOPED_TRACE(::testing::PrintToString(sizes) + " aligned " + std::to_string(alignment));
      expect_owned_once(layout(model_of_sizes(sizes), o));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(ownership, mixed_model) {
  for (const std::uint64_t resident_bytes : {0, 4, 10, 48, 100000}) {
    layout_options o = options();
    o.resident_bytes = resident_bytes;
    SCOPED_TRACE(resident_bytes);
    expect_owned_once(layout(mixed_model(), o));
  }
}

TEST_P(ownership, random_models) {
  constexpr std::uint64_t alignments[] = {1, 2, 5, 128, 1000};
  constexpr std::uint64_t residents[] = {0, 8, 256, 4096};
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    layout_options o = options();
    o.alignment = alignments[seed % std::size(alignments)];
    o.resident_bytes = residents[seed % std::size(residents)];
    SCOPED_TRACE("seed " + std::to_string(seed));
    expect_owned_once(layout(random_model(seed), o));
    if (HasFatalFailure()) return;
  }
}

// The largest world there is, with a model far smaller than it.
TEST(ownership_of_a_million_ranks, every_element_once) {
  for (const layout_kind kind : {layout_kind::flat, layout_kind::whole}) {
    layout_options o;
    o.world_size = 1 << 20;
    o.kind = kind;
    o.alignment = 4;
    expect_owned_once(layout(model_of_sizes({17, 0, 1, 5000, 64}), o));
  }
}

}  // namespace
}  // namespace zero::partition::testing
