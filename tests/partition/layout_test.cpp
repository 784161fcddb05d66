#include "model_shapes.hpp"
#include "sample_models.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

namespace zero::partition::testing {
namespace {

layout_options three_ranks() {
  layout_options options;
  options.world_size = 3;
  options.alignment = 8;
  return options;
}

TEST(layout, places_a_mixed_model) {
  layout_options options = three_ranks();
  options.resident_bytes = 10;  // the fp32 scalar and the 5 bf16 of mask
  const layout l(mixed_model(), options);
  struct row {
    const char* name;
    int unit;
    std::size_t bucket;
    std::uint64_t offset;
    std::uint64_t count;
    std::size_t storage;
  };
  // Written down by hand from the rules in layout.hpp.
  const std::vector<row> rows{{"wte", 0, 0, 0, 1164, 0},     {"ln.weight", 1, 1, 0, 12, 1},
                              {"w", 1, 2, 0, 372, 2},        {"nothing", 1, no_bucket, 0, 0, 3},
                              {"scale", 1, 3, 0, 1, 4},      {"mask", 1, 4, 0, 5, 5},
                              {"lm_head", 0, 0, 0, 1164, 0}, {"bias", 3, 5, 0, 97, 7}};
  ASSERT_EQ(l.parameters().size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const placement& p = l.parameters()[i];
    SCOPED_TRACE(rows[i].name);
    EXPECT_EQ(p.index, i);
    EXPECT_EQ(l.parameter(i).name, rows[i].name);
    EXPECT_EQ(l.find(rows[i].name), i);
    EXPECT_EQ(p.unit, rows[i].unit);
    EXPECT_EQ(p.bucket, rows[i].bucket);
    EXPECT_EQ(p.offset, rows[i].offset);
    EXPECT_EQ(p.count, rows[i].count);
    EXPECT_EQ(p.storage, rows[i].storage);
  }
  ASSERT_EQ(l.buckets().size(), 6U);
  EXPECT_TRUE(l.buckets()[3].resident && l.buckets()[3].trainable);
  EXPECT_TRUE(l.buckets()[4].resident && !l.buckets()[4].trainable);
  EXPECT_EQ(l.buckets_of(1).size(), 4U);
  EXPECT_TRUE(l.buckets_of(2).empty());
  EXPECT_EQ(l.buckets()[0].shard, 392U);  // 1164 / 3 = 388
  EXPECT_EQ(l.payload(), 1164U + 12 + 372 + 1 + 5 + 97);
}

TEST(layout, cuts_through_parameters) {
  const layout l(model_of_sizes({10, 0, 20, 3}), three_ranks());  // 33 elements, shards of 16
  const auto expect = [&](int rank, const std::vector<piece>& expected) {
    const std::vector<piece> found = l.pieces(0, rank);
    ASSERT_EQ(found.size(), expected.size()) << rank;
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].parameter, expected[i].parameter);
      EXPECT_EQ(found[i].parameter_offset, expected[i].parameter_offset);
      EXPECT_EQ(found[i].shard_offset, expected[i].shard_offset);
      EXPECT_EQ(found[i].count, expected[i].count);
    }
  };
  EXPECT_EQ(l.buckets()[0].shard, 16U);
  expect(0, {{0, 0, 0, 10}, {2, 0, 10, 6}});
  expect(1, {{2, 6, 0, 14}, {3, 0, 14, 2}});
  expect(2, {{3, 2, 0, 1}});
}

TEST(layout, tied_parameters_are_where_their_storage_is) {
  model_spec model = model_of_sizes({10, 20});
  model.units.push_back({"v", {tensor("q", {5}), tensor("r", {20})}});
  model.units[1].parameters[1].tied_to = "p1";
  const layout l(model, three_ranks());
  const placement& r = l.parameters()[l.find("r")];
  EXPECT_EQ(r.storage, 1U);
  EXPECT_EQ(r.unit, 0);
  EXPECT_EQ(r.bucket, 0U);
  EXPECT_EQ(r.offset, 10U);
  EXPECT_EQ(r.count, 20U);
  EXPECT_EQ(l.payload(), 35U);
}

TEST(layout, tied_to_an_empty_parameter) {
  model_spec model = model_of_sizes({0, 0});
  model.units[0].parameters[1].tied_to = "p0";
  const layout l(model, three_ranks());
  EXPECT_EQ(l.parameters()[1].storage, 0U);
  EXPECT_EQ(l.parameters()[1].bucket, no_bucket);
  EXPECT_TRUE(l.buckets().empty());
}

TEST(layout, without_parameters) {
  for (const model_spec& model : {model_spec{}, model_spec{{{"u", {}}}}}) {
    const layout l(model, three_ranks());
    EXPECT_TRUE(l.parameters().empty());
    EXPECT_TRUE(l.buckets().empty());
    EXPECT_TRUE(l.buckets_of(0).empty());
    EXPECT_EQ(l.payload() + l.padded(), 0U);
  }
}

TEST(layout, resident_is_at_most_so_many_bytes) {
  layout_options options = three_ranks();
  for (const std::uint64_t bytes : {0U, 7U, 8U, 9U}) {
    options.resident_bytes = bytes;
    EXPECT_EQ(layout(model_of_sizes({2}), options).buckets()[0].resident, bytes >= 8) << bytes;
  }
  options.resident_bytes = ~std::uint64_t{0};
  EXPECT_TRUE(layout(model_of_sizes({1000003}), options).buckets()[0].resident);
}

TEST(layout, finds_every_name_of_a_large_model) {
  const layout l(llama3_8b(dtype::bf16), three_ranks());
  ASSERT_EQ(l.parameters().size(), 32U * 9 + 3);
  std::size_t index = 0;
  for (const unit_spec& unit : l.model().units) {
    for (const parameter_spec& p : unit.parameters) {
      EXPECT_EQ(l.find(p.name), index);
      EXPECT_EQ(&l.parameter(index), &p);
      ++index;
    }
  }
}

// Everything that is answered from inside, so that a pointer left behind would be noticed.
void expect_answers(const layout& l) {
  EXPECT_EQ(l.find("lm_head"), 6U);
  EXPECT_EQ(&l.parameter(6), &l.model().units[3].parameters[0]);
  EXPECT_EQ(l.parameter(6).tied_to, "wte");
  ASSERT_EQ(l.pieces(0, 2).size(), 1U);
  EXPECT_EQ(l.pieces(0, 2)[0].parameter_offset, 784U);
  EXPECT_EQ(l.buckets_of(1).size(), 3U);
  EXPECT_EQ(l.world_size(), 3);
  const layout fresh(mixed_model(), three_ranks());
  EXPECT_EQ(l.digest(), fresh.digest());
  EXPECT_EQ(l.difference(fresh), "");
  EXPECT_EQ(fresh.difference(l), "");
}

TEST(layout, copies_and_moves_stand_on_their_own) {
  auto first = std::make_unique<layout>(mixed_model(), three_ranks());
  layout copy = *first;
  layout assigned(model_of_sizes({1}), {});
  assigned = *first;
  first.reset();
  expect_answers(copy);
  expect_answers(assigned);

  layout moved = std::move(copy);
  expect_answers(moved);
  layout move_assigned(model_of_sizes({1}), {});
  move_assigned = std::move(moved);
  expect_answers(move_assigned);

  std::vector<layout> grown;
  for (int i = 0; i < 5; ++i) grown.push_back(assigned);
  for (const layout& l : grown) expect_answers(l);
}

}  // namespace
}  // namespace zero::partition::testing
