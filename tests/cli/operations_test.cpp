// The reader of records that failing ranks leave, against records written out by hand.
#include "operation_records.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace zero::cli {
namespace {

using nlohmann::json;

struct queued {
  const char* group;
  int sequence;
  const char* operation;
  int count;
  int tag;
  int step;
  long long at;  // ns
  bool is_over = true;
};

json record_of(int rank, int size, const std::vector<queued>& operations,
               const std::string& error = "") {
  json groups = json::array({{{"name", "world"}, {"rank", rank}, {"size", size}}});
  json all = json::array();
  for (const queued& q : operations) {
    if (std::string(q.group) != "world" && groups.size() == 1) {
      groups.push_back({{"name", q.group}, {"rank", rank % 2}, {"size", 2}});
    }
    all.push_back({{"group", q.group},
                   {"sequence", q.sequence},
                   {"operation", q.operation},
                   {"name", "gather"},
                   {"in", "bf16"},
                   {"out", "bf16"},
                   {"count", q.count},
                   {"mode", "overwrite"},
                   {"root", -1},
                   {"tag", q.tag},
                   {"step", q.step},
                   {"queued", q.at},
                   {"begun", q.at + 10},
                   {"ended", q.is_over ? q.at + 20 : 0}});
  }
  return {{"schema", "zero.operations/1"},
          {"rank", rank},
          {"size", size},
          {"backend", "shared_memory"},
          {"process", 100},
          {"clock", 3'000'000'000LL},
          {"error", error},
          {"groups", groups},
          {"operations", all}};
}

std::vector<rank_record> parsed(const std::vector<json>& all) {
  std::vector<rank_record> records;
  for (const json& one : all) records.push_back(parse_record("record", one));
  return records;
}

TEST(operations, name_the_rank_that_never_began) {
  const auto all = parsed(
      {record_of(0, 3,
                 {{"world", 7, "all_gather", 5, 1, 2, 1000},
                  {"world", 8, "all_gather", 5, 2, 2, 2'000'000'000, false}},
                 "rank 0 waited 1 s for rank 1"),
       record_of(1, 3, {{"world", 7, "all_gather", 5, 1, 2, 1100}}, "rank 0 waited 1 s for rank 1"),
       record_of(2, 3,
                 {{"world", 7, "all_gather", 5, 1, 2, 1200},
                  {"world", 8, "all_gather", 5, 2, 2, 2'500'000'000, false}},
                 "rank 0 waited 1 s for rank 1")});
  EXPECT_EQ(
      describe_records(all),
      "records of 3 of 3 ranks\n"
      "first told rank 0: rank 0 waited 1 s for rank 1\n"
      "operation 8 of group world: ranks 0 and 2 queued all_gather 'gather' of 5 bf16 (tag 2, step "
      "2); rank 1 never began it\n"
      "  rank 1 queued last there operation 7, all_gather 'gather' of 5 bf16 (tag 1, step 2)\n"
      "  it differs at: rank 1\n"
      "not ended:\n"
      "  rank 0: operation 8 of group world, all_gather 'gather' of 5 bf16 (tag 2, step 2), begun "
      "and not ended after 1 s\n"
      "  rank 2: operation 8 of group world, all_gather 'gather' of 5 bf16 (tag 2, step 2), begun "
      "and not ended after 0.5 s\n");
}

TEST(operations, name_the_same_shape_of_another_bucket) {
  const auto all = parsed({record_of(0, 4, {{"world", 0, "all_gather", 5, 1, 0, 1000}}),
                           record_of(1, 4, {{"world", 0, "all_gather", 5, 1, 0, 1000}}),
                           record_of(2, 4, {{"world", 0, "all_gather", 5, 3, 0, 1000}}),
                           record_of(3, 4, {{"world", 0, "all_gather", 5, 1, 0, 1000}})});
  const auto found = find_divergences(all);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].sequence, 0U);
  EXPECT_EQ(found[0].culprits, std::vector<int>{2});
  EXPECT_EQ(found[0].does.size(), 2U);
  EXPECT_TRUE(found[0].never_began.empty());
}

TEST(operations, of_two_ranks_blame_the_higher) {
  const auto all = parsed({record_of(0, 2, {{"world", 0, "barrier", 0, 1, -1, 1000}}),
                           record_of(1, 2, {{"world", 0, "barrier", 0, 2, -1, 900}})});
  EXPECT_EQ(find_divergences(all).at(0).culprits, std::vector<int>{1});
}

TEST(operations, stand_in_the_order_of_time_whatever_the_group) {
  const auto all = parsed({record_of(0, 4,
                                     {{"world", 0, "all_gather", 5, 1, 0, 5000},
                                      {"world/0:0", 3, "all_gather", 5, 1, 0, 1000}}),
                           record_of(1, 4,
                                     {{"world", 0, "all_gather", 5, 1, 0, 5000},
                                      {"world/0:0", 3, "all_gather", 6, 1, 0, 1001}}),
                           record_of(2, 4, {{"world", 0, "all_gather", 5, 9, 0, 4000}}),
                           record_of(3, 4, {{"world", 0, "all_gather", 5, 1, 0, 5000}})});
  const auto found = find_divergences(all);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].group, "world/0:0");
  EXPECT_EQ(found[0].culprits, std::vector<int>{1});
  EXPECT_EQ(found[1].group, "world");
  EXPECT_EQ(found[1].culprits, std::vector<int>{2});
}

// What the ring of one rank has lost already says nothing of it.
TEST(operations, are_compared_from_where_all_have_them) {
  const auto all = parsed(
      {record_of(0, 2,
                 {{"world", 10, "barrier", 0, 1, 0, 1}, {"world", 11, "barrier", 0, 1, 0, 2}}),
       record_of(1, 2, {{"world", 11, "barrier", 0, 1, 0, 2}})});
  EXPECT_TRUE(find_divergences(all).empty());
  EXPECT_EQ(describe_records(all),
            "records of 2 of 2 ranks\nall ranks that left a record queued the same operations\n");
}

TEST(operations, say_who_left_no_record) {
  const auto all = parsed({record_of(0, 4, {{"world", 0, "barrier", 0, 1, 0, 1}}),
                           record_of(3, 4, {{"world", 0, "barrier", 0, 1, 0, 1}})});
  EXPECT_NE(describe_records(all).find("ranks 1 and 2 left no record\n"), std::string::npos);
}

TEST(operations, refuse_what_is_no_record) {
  const json right = record_of(0, 2, {{"world", 0, "all_gather", 5, 1, 0, 1}});
  EXPECT_NO_THROW(static_cast<void>(parse_record("f", right)));
  for (const char* missing : {"schema", "rank", "size", "clock", "error", "groups", "operations"}) {
    json wrong = right;
    wrong.erase(missing);
    EXPECT_THROW(static_cast<void>(parse_record("f", wrong)), corrupt_data) << missing;
  }
  json wrong = right;
  wrong["schema"] = "zero.operations/2";
  EXPECT_THROW(static_cast<void>(parse_record("f", wrong)), corrupt_data);
  wrong = right;
  wrong["rank"] = 2;
  EXPECT_THROW(static_cast<void>(parse_record("f", wrong)), corrupt_data);
  wrong = right;
  wrong["operations"][0]["count"] = "many";
  EXPECT_THROW(static_cast<void>(parse_record("f", wrong)), corrupt_data);
  EXPECT_THROW(static_cast<void>(parse_record("f", json::array())), corrupt_data);
  EXPECT_THROW(static_cast<void>(read_record("/nowhere/at/all.json")), io_error);
  EXPECT_THROW(static_cast<void>(read_record("/dev/zero")), corrupt_data);  // and reads on for ever
}

}  // namespace
}  // namespace zero::cli
