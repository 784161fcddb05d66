#include <zero/base/trace.hpp>

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

TEST(trace, keeps_events_in_order) {
  trace_recorder recorder(4);
  EXPECT_TRUE(recorder.events().empty());
  recorder.record(trace_event{"gather", lane::communication, 3, 10, 20});
  recorder.record(trace_event{"release", lane::compute, -1, 20, 21});
  const std::vector<trace_event> events = recorder.events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_STREQ(events[0].name, "gather");
  EXPECT_EQ(events[0].where, lane::communication);
  EXPECT_EQ(events[0].unit, 3);
  EXPECT_EQ(events[0].begin, 10);
  EXPECT_EQ(events[0].end, 20);
  EXPECT_STREQ(events[1].name, "release");
  EXPECT_EQ(recorder.dropped(), 0U);
}

TEST(trace, drops_and_counts_beyond_its_capacity) {
  trace_recorder recorder(2);
  for (int i = 0; i < 5; ++i) recorder.record(trace_event{"reduce", lane::compute, i, 0, 0});
  const std::vector<trace_event> events = recorder.events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].unit, 1);
  EXPECT_EQ(recorder.dropped(), 3U);
  trace_recorder none(0);
  none.record(trace_event{});
  EXPECT_TRUE(none.events().empty());
  EXPECT_EQ(none.dropped(), 1U);
}

TEST(trace, keeps_samples_of_memory_beside_events) {
  trace_recorder recorder(2);
  recorder.record(memory_sample{10, 5, 8});
  recorder.record(trace_event{"gather", lane::compute, 0, 10, 11});
  recorder.record(memory_sample{12, 0, 8});
  recorder.record(memory_sample{13, 7, 8});
  const std::vector<memory_sample> samples = recorder.samples();
  ASSERT_EQ(samples.size(), 2U);
  EXPECT_EQ(samples[0].at, 10);
  EXPECT_EQ(samples[0].in_use, 5U);
  EXPECT_EQ(samples[0].reserved, 8U);
  EXPECT_EQ(samples[1].at, 12);
  EXPECT_EQ(recorder.events().size(), 1U);
  EXPECT_EQ(recorder.dropped(), 1U);
}

TEST(trace, leaves_out_what_comes_while_it_does_not_record) {
  trace_recorder recorder(4);
  recorder.set_recording(false);
  recorder.record(trace_event{"gather", lane::compute, 0, 1, 2});
  recorder.record(memory_sample{1, 2, 3});
  recorder.set_recording(true);
  recorder.record(trace_event{"release", lane::compute, 0, 3, 4});
  ASSERT_EQ(recorder.events().size(), 1U);
  EXPECT_STREQ(recorder.events()[0].name, "release");
  EXPECT_TRUE(recorder.samples().empty());
  EXPECT_EQ(recorder.dropped(), 0U);
}

TEST(trace, threads_lose_nothing) {
  trace_recorder recorder(3000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&recorder, t] {
      for (int i = 0; i < 1000; ++i)
        recorder.record(trace_event{"update", lane::compute, 1000 * t + i, 0, 0});
    });
  }
  for (std::thread& t : threads) t.join();
  std::set<int> units;
  for (const trace_event& e : recorder.events()) units.insert(e.unit);
  EXPECT_EQ(units.size(), 3000U);
  EXPECT_EQ(recorder.dropped(), 1000U);
}

TEST(trace, lanes_have_names) {
  EXPECT_STREQ(name_of(lane::compute), "compute");
  EXPECT_STREQ(name_of(lane::communication), "communication");
  EXPECT_STREQ(name_of(lane::copy_in), "copy in");
  EXPECT_STREQ(name_of(lane::copy_out), "copy out");
  EXPECT_STREQ(name_of(static_cast<lane>(9)), "unknown");
}

TEST(trace, the_clock_does_not_go_back) {
  const std::int64_t before = trace_clock();
  EXPECT_LE(before, trace_clock());
}

}  // namespace
}  // namespace zero::testing
