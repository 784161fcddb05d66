// Which of several failures of ranks is the one that is told.
#include "rank_processes.hpp"

#include <gtest/gtest.h>

#include <charconv>
#include <chrono>
#include <string>

namespace zero::cli {
namespace {

// A job of two shells; what a rank writes to its starter is the exit code it will have.
ranks_outcome outcome_of(const std::string& script) {
  ranks_program program;
  program.command = {"/bin/sh", "-c", script};
  program.ranks = 2;
  program.on_result = [](int, std::string_view line) -> std::optional<int> {
    int code = 0;
    std::from_chars(line.data(), line.data() + line.size(), code);
    return code;
  };
  signal_watch signals;
  return run_ranks(program, signals);
}

// Rank 0 is a victim of rank 1, which says why it failed and is slow to end.
TEST(RankProcesses, TheCauseIsToldHoweverLateItEnds) {
  const ranks_outcome ended = outcome_of(
      "trap '' TERM; if [ $RANK = 0 ]; then sleep 0.5; exit 3; fi; "
      "echo 6 > /proc/self/fd/$ZERO_RESULT_FD; sleep 60; exit 6");
  ASSERT_TRUE(ended.failure);
  EXPECT_EQ(ended.failure->rank, 1);
  EXPECT_EQ(ended.failure->exit_code, 6);
  EXPECT_EQ(ended.failure->signal, 0);
}

// A rank that says it failed and then does nothing is ended, though nobody else has.
TEST(RankProcesses, WhoSaysItFailedIsEnded) {
  const auto begin = std::chrono::steady_clock::now();
  const ranks_outcome ended =
      outcome_of("trap '' TERM; [ $RANK = 0 ] || echo 5 > /proc/self/fd/$ZERO_RESULT_FD; sleep 60");
  ASSERT_TRUE(ended.failure);
  EXPECT_EQ(ended.failure->rank, 1);
  EXPECT_EQ(ended.failure->exit_code, 5);
  EXPECT_TRUE(ended.all_ended);
  EXPECT_EQ(ended.left, "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

// A consequence that is told first does not hide the cause that ends later.
TEST(RankProcesses, AConsequenceThatIsToldGivesWay) {
  const ranks_outcome ended = outcome_of(
      "echo $((3 + 3 * RANK)) > /proc/self/fd/$ZERO_RESULT_FD; sleep 0.$((RANK * 4)); "
      "exit $((3 + 3 * RANK))");
  ASSERT_TRUE(ended.failure);
  EXPECT_EQ(ended.failure->rank, 1);
  EXPECT_EQ(ended.failure->exit_code, 6);
}

}  // namespace
}  // namespace zero::cli
