// Rates from seconds: steps of a made-up machine, timed by hand.

#include "plan/verb_rates.hpp"

#include <gtest/gtest.h>

namespace zero::cli {
namespace {

constexpr double mega = 1e6;

// Four ranks. 100 MB are gathered in a forward at 50 MB/s in 2 s and 10 calls of 0.1 s: 3 s; 80 MB
// again in a backward, 2.4 s by the same pace, then 120 MB reduced at 40 MB/s in 3 s and 5 calls:
// 5.9 s. A vote and an update of 70 MB at 35 MB/s: 2.1 s.
verb_trial in_memory() {
  verb_trial t;
  t.took = {3.0, 5.9, 2.1};
  t.gathered = 100 * mega;
  t.gathered_again = 80 * mega;
  t.reduced = 120 * mega;
  t.gathers = 10;
  t.reduces = 5;
  t.forward_share = 1 / 1.8;
  t.updated.device = 70'000'000;
  return t;
}

// As above, and 180 MB go up, 100 of them in the forward, at 20 MB/s: 5 s and 4 s; 60 MB down at
// 30 MB/s: 2 s. The update in host memory, 70 MB at 70 MB/s, with 20 MB up and 30 MB down: 1 s, 1
// s and 1 s behind the vote.
verb_trial on_host() {
  verb_trial t = in_memory();
  t.took = {3.0 + 5.0, 5.9 + 4.0 + 2.0, 0.1 + 1.0 + 1.0 + 1.0};
  t.updated = {0, 70'000'000, 0};
  t.moved.gathers.host_to_device = 180'000'000;
  t.moved.gradients.device_to_host = 60'000'000;
  t.moved.updates = {20'000'000, 30'000'000, 0, 0};
  return t;
}

// As that, and 180 MB are read, 100 of them in the forward, at 10 MB/s: 10 s and 8 s; 60 MB
// written at 20 MB/s: 3 s. The update reads 100 MB and writes 80: 160 MB both ways at 16 MB/s and
// 20 MB alone at 10 MB/s: 12 s.
verb_trial on_disk() {
  verb_trial t = on_host();
  t.took = {8.0 + 10.0, 11.9 + 8.0 + 3.0, 0.1 + 12.0};
  t.moved.gathers.disk_read = 180'000'000;
  t.moved.gradients.disk_written = 60'000'000;
  t.moved.updates = {0, 0, 100'000'000, 80'000'000};
  return t;
}

TEST(VerbRates, AreThoseThatMakeTheSeconds) {
  measured_machine found;
  found.call_seconds = 0.1;
  take_rates({in_memory(), on_host(), on_disk()}, found);
  EXPECT_NEAR(found.all_gather, 50 * mega, 1);
  EXPECT_NEAR(found.reduce_scatter, 40 * mega, 1);
  EXPECT_NEAR(found.memory_update, 35 * mega, 1);
  EXPECT_NEAR(found.host_to_device, 20 * mega, 1);
  EXPECT_NEAR(found.device_to_host, 30 * mega, 1);
  EXPECT_NEAR(found.host_update, 70 * mega, 1);
  EXPECT_NEAR(found.disk_read, 10 * mega, 1);
  EXPECT_NEAR(found.disk_written, 20 * mega, 1);
  EXPECT_NEAR(found.disk_both, 16 * mega, 1);
  EXPECT_EQ(found.call_seconds, 0.1);
  EXPECT_EQ(found.matrix, 0);
}

// All of a step but what is computed is then the update's.
TEST(VerbRates, OfOneRankAreWithoutCollectives) {
  verb_trial alone;
  alone.took = {0.25, 0.75, 1.0};
  alone.updated.device = 10'000'000;
  measured_machine found;
  take_rates({alone, alone, {}}, found);
  EXPECT_EQ(found.all_gather, 0);
  EXPECT_EQ(found.reduce_scatter, 0);
  EXPECT_NEAR(found.memory_update, 5 * mega, 1);
}

TEST(VerbRates, OfADiskThatWasNotMeasuredAreNone) {
  measured_machine found;
  take_rates({in_memory(), on_host(), {}}, found);
  EXPECT_EQ(found.disk_read, 0);
  EXPECT_EQ(found.disk_written, 0);
  EXPECT_EQ(found.disk_both, 0);
  EXPECT_GT(found.host_to_device, 0);
}

// State in host memory that took no longer than in memory: finite rates, of a twentieth.
TEST(VerbRates, DifferencesLostInNoiseStayAboveNothing) {
  verb_trial as_fast = on_host();
  as_fast.took = in_memory().took;
  measured_machine found;
  found.call_seconds = 0.1;
  take_rates({in_memory(), as_fast, {}}, found);
  EXPECT_NEAR(found.host_to_device, 100 * mega / (3.0 / 20), 1);
  EXPECT_NEAR(found.device_to_host, 60 * mega / (5.9 / 20), 1);
}

}  // namespace
}  // namespace zero::cli
