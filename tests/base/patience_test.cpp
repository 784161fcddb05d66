// How long a wait that can only ask goes on, and that it ends.
#include "patience.hpp"

#include <gtest/gtest.h>

namespace zero {
namespace {

TEST(patience, ends_at_once_where_there_is_none) {
  cuda::patience none(0);
  EXPECT_FALSE(none.pause());
  cuda::patience negative(-5);
  EXPECT_FALSE(negative.pause());
}

TEST(patience, lasts_as_long_as_was_said_and_then_ends) {
  const auto start = std::chrono::steady_clock::now();
  cuda::patience left(20);
  EXPECT_EQ(left.milliseconds(), 20);
  int pauses = 0;
  while (left.pause()) ++pauses;
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
  EXPECT_GT(pauses, 0);
  EXPECT_FALSE(left.pause()) << "over is over";
}

}  // namespace
}  // namespace zero
