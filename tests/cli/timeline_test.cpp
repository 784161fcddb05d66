// One step as the report draws it: from events and samples that were made up.

#include "report/timeline.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace zero::cli {
namespace {

using json = nlohmann::ordered_json;

// Two units; the first has two buckets, so that buckets and units are numbered differently.
partition::layout two_units() {
  partition::parameter_spec half{"h", {3}};
  half.type = dtype::bf16;
  partition::layout_options options;
  options.world_size = 1;
  return partition::layout({{{"first", {{"a", {5}}, half}}, {"second", {{"b", {7}}}}}}, options);
}

// Step 4 from 1000 to 2000 nanoseconds.
const traced_step fourth{4, 1000, 2000};

json timeline_of(const trace_recorder& recorder, const std::vector<traced_step>& steps = {fourth},
                 double median = 1e-6) {
  return timeline_json(recorder, two_units(), steps, median, {10, 20, 30, 100, 50, 60});
}

TEST(Timeline, HasWhatWasRecordedInItsStep) {
  trace_recorder recorder(8);
  recorder.record(trace_event{"gather", lane::communication, 2, 900, 1100});  // began before
  recorder.record(trace_event{"gather", lane::communication, 0, 100, 999});   // of another step
  recorder.record(trace_event{"update", lane::compute, -1, 1900, 2100});      // ends after
  recorder.record(trace_event{"forward", lane::compute, 0, 1200, 1300});
  recorder.record(trace_event{"gather", lane::communication, 0, 2001, 2100});
  const json line = timeline_of(recorder);
  EXPECT_EQ(line.at("step"), 4);
  EXPECT_EQ(line.at("seconds"), 1e-6);
  EXPECT_EQ(line.at("units"), (json{"first", "second"}));
  EXPECT_EQ(line.at("slices").at("verb"), (json{"gather", "forward", "update"}));
  EXPECT_EQ(line.at("slices").at("lane"), (json{1, 0, 0}));
  EXPECT_EQ(line.at("slices").at("unit"), (json{1, 0, -1}));  // bucket 2 is of unit 1
  EXPECT_EQ(line.at("slices").at("begin"), (json{0.0, 2e-7, 9e-7}));
  EXPECT_EQ(line.at("slices").at("end"), (json{1e-7, 3e-7, 1e-6}));
}

TEST(Timeline, IsOfTheStepNearestToTheMedian) {
  const trace_recorder recorder(1);
  const std::vector<traced_step> steps{{7, 0, 500}, {8, 500, 1600}, {9, 1600, 1700}};
  EXPECT_EQ(timeline_of(recorder, steps, 9e-7).at("step"), 8);
  EXPECT_EQ(timeline_of(recorder, steps, 5e-7).at("step"), 7);
  EXPECT_EQ(timeline_of(recorder, steps, 0).at("step"), 9);
  EXPECT_TRUE(timeline_of(recorder, {}, 0).is_null());
}

TEST(Timeline, IsOfNoStepThatWasCutOff) {
  trace_recorder recorder(2);
  recorder.record(trace_event{"forward", lane::compute, 0, 0, 10});
  recorder.record(trace_event{"forward", lane::compute, 0, 10, 700});
  recorder.record(trace_event{"forward", lane::compute, 0, 700, 800});  // no room
  const std::vector<traced_step> steps{{7, 0, 500}, {8, 500, 1500}};
  EXPECT_EQ(timeline_of(recorder, steps).at("step"), 7);
  EXPECT_TRUE(timeline_of(recorder, {steps[1]}).is_null());
}

TEST(Timeline, MemoryBeginsWithWhatWasThereBefore) {
  trace_recorder recorder(8);
  recorder.record(memory_sample{500, 40, 70});
  recorder.record(memory_sample{800, 7, 70});
  recorder.record(memory_sample{1250, 47, 70});
  recorder.record(memory_sample{1300, 47, 70});  // nothing new
  recorder.record(memory_sample{1500, 0, 70});
  recorder.record(memory_sample{2500, 9, 70});
  const json memory = timeline_of(recorder).at("memory");
  EXPECT_EQ(memory.at("slots_in_use").at("at"), (json{0.0, 2.5e-7, 5e-7}));
  EXPECT_EQ(memory.at("slots_in_use").at("bytes"), (json{7, 47, 0}));
  EXPECT_EQ(memory.at("slots_reserved"), 70);
  EXPECT_EQ(memory.at("buffers"), 30);  // of 100
  EXPECT_EQ(memory.at("parameters"), 10);
  EXPECT_EQ(memory.at("disk"), 60);
}

TEST(Timeline, MemoryWithoutSlotsIsFlat) {
  const json memory = timeline_of(trace_recorder(1)).at("memory");
  EXPECT_EQ(memory.at("slots_in_use").at("at"), (json{0.0}));
  EXPECT_EQ(memory.at("slots_in_use").at("bytes"), (json{0}));
  EXPECT_EQ(memory.at("buffers"), 100);
}

// Busy in [1000,1300) and [1500,1700); computing in [1100,1200), [1250,1600) but for a fetch in
// [1400,1450) and [1550,1600).
TEST(Timeline, OverlapIsWhatWentOnWhileTheRankComputed) {
  trace_recorder recorder(16);
  recorder.record(trace_event{"gather", lane::communication, 0, 1000, 1200});
  recorder.record(trace_event{"gather", lane::communication, 0, 1150, 1300});
  recorder.record(trace_event{"reduce", lane::communication, 0, 1500, 1700});
  recorder.record(trace_event{"forward", lane::compute, 0, 1100, 1200});
  recorder.record(trace_event{"update", lane::compute, 0, 1250, 1600});
  recorder.record(trace_event{"fetch", lane::compute, 0, 1400, 1450});
  recorder.record(trace_event{"spill", lane::compute, 0, 1550, 1600});
  recorder.record(trace_event{"release", lane::compute, 0, 1650, 1700});
  recorder.record(trace_event{"fetch", lane::copy_in, 0, 1400, 1450});
  const json overlap = timeline_of(recorder).at("overlap");
  const json& ranks = overlap.at("communication");
  EXPECT_DOUBLE_EQ(ranks.at("busy_seconds").get<double>(), 500e-9);
  EXPECT_DOUBLE_EQ(ranks.at("hidden_seconds").get<double>(), (100 + 50 + 50) * 1e-9);
  EXPECT_DOUBLE_EQ(ranks.at("fraction").get<double>(), 0.4);
  EXPECT_EQ(overlap.at("copy in").at("fraction"), 0.0);
  EXPECT_TRUE(overlap.at("copy out").at("fraction").is_null());
}

TEST(Timeline, TracksKeepApartWhatOverlaps) {
  const auto on = [](lane where, std::int64_t begin, std::int64_t end) {
    return slice{"spill", where, 0, begin, end};
  };
  const std::vector<slice> slices{on(lane::copy_out, 0, 10),  on(lane::compute, 1, 9),
                                  on(lane::compute, 2, 8),    on(lane::copy_out, 3, 20),
                                  on(lane::copy_in, 4, 6),    on(lane::copy_out, 9, 12),
                                  on(lane::copy_out, 10, 11), on(lane::copy_out, 12, 13)};
  EXPECT_EQ(tracks_of(slices), (std::vector<int>{0, 0, 0, 1, 0, 2, 0, 0}));
  EXPECT_TRUE(tracks_of({}).empty());
}

}  // namespace
}  // namespace zero::cli
