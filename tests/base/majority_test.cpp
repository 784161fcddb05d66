#include <zero/base/majority.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace zero::testing {
namespace {

using ranks = std::vector<int>;

TEST(majority, is_what_most_say_and_of_as_many_what_the_lowest_rank_says) {
  const auto expect = [](const std::vector<std::string>& all, int of_rank, const ranks& others) {
    const majority found = majority_of(all);
    EXPECT_EQ(found.of_rank, of_rank);
    EXPECT_EQ(found.others, others);
  };
  expect({"a"}, 0, {});
  expect({"a", "a", "a"}, 0, {});
  expect({"b", "a", "a"}, 1, {0});
  expect({"a", "b"}, 0, {1});
  expect({"b", "a", "c", "a", "b"}, 0, {1, 2, 3});
  expect({"c", "a", "b", "b", "a", "b"}, 2, {0, 1, 4});
}

}  // namespace
}  // namespace zero::testing
