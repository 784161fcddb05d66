// When the starter of ranks takes those that are stopped for lost; on a clock of the test's own.
#include "ranks/still_ranks.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace zero::cli {
namespace {

using namespace std::chrono_literals;

class StillRanks : public testing::Test {
 protected:
  // Looks every quarter of a second for so long; the first who were named, and when.
  std::vector<int> look_for(std::chrono::milliseconds time) {
    for (const auto end = now_ + time; now_ < end; now_ += 250ms) {
      const std::vector<int> named = watch_.look(now_, ranks_);
      if (!named.empty()) return named;
    }
    return {};
  }
  void stop_all() {
    for (rank_sight& rank : ranks_) rank.stopped = true;
  }

  still_ranks watch_;
  still_ranks::clock::time_point begin_{1h};
  still_ranks::clock::time_point now_ = begin_;
  std::vector<rank_sight> ranks_{3, rank_sight{true, false, 7, 10s}};
};

TEST_F(StillRanks, AreNamedAfterTheirDeadlineAndAGrace) {
  look_for(60s);
  stop_all();
  const auto stopped = now_;
  EXPECT_EQ(look_for(60s), (std::vector<int>{0, 1, 2}));
  EXPECT_GE(now_ - stopped, 12s - 250ms);
  EXPECT_LE(now_ - stopped, 12s + 250ms);
  EXPECT_GE(watch_.longest(), 12s);
}

TEST_F(StillRanks, AreNotThoseThatAreMerelySlow) { EXPECT_TRUE(look_for(1h).empty()); }

TEST_F(StillRanks, AreNotThoseWhosePeersGoOn) {
  ranks_[1].stopped = true;
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(look_for(5s).empty());
    *ranks_[0].moved += 1;
  }
  EXPECT_EQ(look_for(60s), std::vector<int>{1});
}

TEST_F(StillRanks, AreNotThoseThatWereLetGoOnInTime) {
  for (int i = 0; i < 10; ++i) {
    stop_all();
    EXPECT_TRUE(look_for(9s).empty());
    for (rank_sight& rank : ranks_) rank.stopped = false;
    EXPECT_TRUE(look_for(500ms).empty());
  }
}

TEST_F(StillRanks, TimeInWhichNobodyLookedDoesNotCount) {
  stop_all();
  EXPECT_TRUE(look_for(2s).empty());
  for (int i = 0; i < 5; ++i) {
    now_ += 1h;  // the starter was stopped too
    EXPECT_TRUE(look_for(250ms).empty());
  }
}

TEST_F(StillRanks, TheGoneAndThoseNobodyWaitsForAreNotNamed) {
  stop_all();
  ranks_[0].running = false;
  ranks_[2].deadline = 0ms;
  EXPECT_EQ(look_for(60s), std::vector<int>{1});
}

TEST_F(StillRanks, HaveEachTheirOwnDeadline) {
  stop_all();
  ranks_[0].deadline = 100s;
  const auto stopped = now_;
  EXPECT_EQ(look_for(200s), (std::vector<int>{0, 1, 2}));
  EXPECT_LE(now_ - stopped, 12s + 250ms);
}

}  // namespace
}  // namespace zero::cli
