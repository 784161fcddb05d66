// A lane over a disk, a copier or both that fail on purpose: what goes wrong comes out of the wait
// for the move it happened to, stays, and leaves no memory in use; nothing hangs.
#include "offload/late_copier.hpp"
#include "offload/scratch.hpp"
#include "support/failing_disk.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/memory_tier.hpp>
#include <zero/offload/tier_lane.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;
using namespace std::chrono_literals;

const std::vector<std::uint64_t> sizes{5000, 4096, 8192, 12001, 4097};
constexpr std::uint64_t room = 12288;
constexpr std::chrono::nanoseconds shortly = 40ms, patiently = 30s;

move_end device(unsigned char* at) { return {at, memory_place::device}; }
move_end host(unsigned char* at) { return {at, memory_place::host}; }

// What a wait or a call throws: its text, or nothing.
template <typename Call>
std::optional<std::string> thrown_by(const Call& call) {
  try {
    call();
  } catch (const std::exception& what) {
    return what.what();
  }
  return std::nullopt;
}

// A lane over a disk that can be made to fail, a memory tier, and a copier of the test's choice.
struct workplace {
  explicit workplace(copier& copies, std::chrono::nanoseconds store_deadline = patiently,
                     std::chrono::milliseconds lane_deadline = 60s, std::size_t depth = 64)
      : failing(
            make_failing_disk(make_disk_engine(disk_engine_kind::automatic, {8, 2, 1000ms}), {})),
        disk(std::move(failing.engine), swap_file(scratch.path()), sizes,
             {"the test's", store_deadline}),
        host_tier(pages, sizes) {
    tier_lane_options options;
    options.bounce_memory = reinterpret_cast<std::byte*>(bounce.get());
    options.bounce_bytes = room;
    options.bounces = 4;
    options.depth = depth;
    options.deadline = lane_deadline;
    lane = std::make_unique<tier_lane>(copies, options);
  }
  // What a record of the disk will hold.
  void put(std::size_t record, std::uint64_t generation) {
    fill(memory.get(), sizes[record], record, generation);
    lane->spill(device(memory.get()), sizes[record], disk, record, 0).wait();
  }

  scratch_directory scratch;
  page_resource pages;
  aligned_memory bounce{4 * room};
  aligned_memory memory{16 * room};
  failing_pair failing;
  disk_tier disk;
  memory_tier host_tier;
  std::unique_ptr<tier_lane> lane;
};

struct fault_case {
  disk_fault fault;
  const char* name;
  bool harmless;      // what follows is right
  const char* words;  // of the error otherwise
};

const fault_case every_fault[] = {
    {disk_fault::eio, "eio", false, "Input/output error"},
    {disk_fault::enospc, "enospc", false, "No space left"},
    {disk_fault::refused, "refused", false, "Cannot allocate memory"},
    {disk_fault::zero, "zero", false, "nothing was moved"},
    {disk_fault::too_much, "too_much", false, "Protocol error"},
    {disk_fault::nothing, "nothing", false, "is not what generation"},
    {disk_fault::flipped_bit, "flipped_bit", false, "is not what generation"},
    {disk_fault::neighbour, "neighbour", false, "is not what generation"},
    {disk_fault::eintr, "eintr", true, ""},
    {disk_fault::eagain, "eagain", true, ""},
    {disk_fault::half, "half", true, ""},
};

class lane_faults : public ::testing::TestWithParam<fault_case> {};

// Every record is spilled, fetched and changed, all queued at once.
struct round_of_moves {
  explicit round_of_moves(workplace& place) : w(place) {
    for (std::size_t i = 0; i < n; ++i) fill(at(i), sizes[i], i, 2);
  }
  [[nodiscard]] unsigned char* at(std::size_t i) const { return memory.get() + i * room; }
  void queue() {
    for (std::size_t i = 0; i < n; ++i) {
      all.push_back(w.lane->spill(host(at(i)), sizes[i], w.disk, i, 0));
    }
    for (std::size_t i = 0; i < n; ++i) {
      const move_end to = i % 2 == 0 ? host(at(n + i)) : device(at(n + i));
      all.push_back(w.lane->fetch(w.disk, i, to, sizes[i], 0));
    }
    for (std::size_t i = 0; i < n; ++i) {
      all.push_back(w.lane->amend(host(at(i)), 8, add_one, w.disk, i, 0));
    }
  }
  // What was fetched then, and what is there now.
  void expect_all_right() const {
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(first_difference(at(n + i), sizes[i], i, 2), -1) << i;
      w.lane->fetch(w.disk, i, host(at(i)), sizes[i], 0).wait();
      for (std::uint64_t b = 0; b < sizes[i]; ++b) {
        ASSERT_EQ(at(i)[b], (byte_of(i, 2, b) + 1) % 256) << i;
      }
    }
  }

  static inline const std::size_t n = sizes.size();
  workplace& w;
  aligned_memory memory{2 * n * room};
  std::vector<completion> all;
  amendment add_one = [](const void*, std::byte* record, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      record[i] = static_cast<std::byte>(static_cast<unsigned>(record[i]) + 1);
    }
  };
};

// One request of the disk fails. Writes 0 to 4 and reads 0 to 9 are of the records in their order;
// later ones are, too, but in the order in which records come back to be changed.
void one_request_fails(const fault_case& fault, bool write, std::uint64_t request, bool late) {
  SCOPED_TRACE(std::string(write ? "write " : "read ") + std::to_string(request) +
               (late ? " late" : ""));
  host_copier at_once;
  late_copier later(3, 30);
  workplace w(late ? static_cast<copier&>(later) : at_once);
  for (std::size_t i = 0; i < sizes.size(); ++i) w.put(i, 1);
  w.failing.where->change({fault.fault, request, 1, !write, write});
  round_of_moves moves(w);
  const auto thrown = thrown_by([&] {
    moves.queue();
    for (const completion& c : moves.all) c.wait();
  });
  ASSERT_EQ(w.failing.where->spoiled(), 1U);
  // What is not what was written is read once more.
  const bool read_again =
      !write && (fault.fault == disk_fault::nothing || fault.fault == disk_fault::flipped_bit ||
                 fault.fault == disk_fault::neighbour);
  if (fault.harmless || read_again) {
    ASSERT_FALSE(thrown) << *thrown;
    return moves.expect_all_right();
  }
  if (write && request >= 5 && !thrown) {  // nobody has looked at it yet
    EXPECT_THROW(moves.expect_all_right(), corrupt_data);
    return;
  }
  ASSERT_TRUE(thrown) << "nobody noticed";
  EXPECT_NE(thrown->find(fault.words), std::string::npos) << *thrown;
  const bool in_order = !write || request < 5;
  const std::string record =
      "the test's: record " + (in_order ? std::to_string(request % sizes.size()) : "");
  EXPECT_NE(thrown->find(record), std::string::npos) << *thrown;
  // It stays so, whatever is asked, and no memory is in use.
  EXPECT_EQ(w.failing.where->outstanding(), 0U);
  EXPECT_EQ(later.outstanding(), 0U);
  unsigned char* const m = w.memory.get();
  for (const auto& again :
       {thrown_by([&] { w.lane->drain(); }), thrown_by([&] { moves.all.back().wait(); }),
        thrown_by([&] { moves.all.front().wait(); }),
        thrown_by([&] { (void)w.lane->fetch(w.host_tier, 0, device(m), 1, 0); }),
        thrown_by([&] { (void)w.lane->copy(m + room, m, 1, copy_way::up, 0); })}) {
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, *thrown);
  }
  EXPECT_TRUE(moves.all.back().ready());
}

TEST_P(lane_faults, come_out_of_the_wait_for_the_move) {
  for (const bool write : {false, true}) {
    // What is written over a neighbour may be found there first.
    if (write && GetParam().fault == disk_fault::neighbour) continue;
    for (std::uint64_t request = 0; request < 10; ++request) {
      one_request_fails(GetParam(), write, request, request % 2 == 0);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(all, lane_faults, ::testing::ValuesIn(every_fault),
                         [](const auto& test) { return test.param.name; });

TEST(tier_lane, says_that_a_disk_does_not_answer) {
  host_copier copies;
  workplace w(copies, shortly);
  w.failing.where->change({disk_fault::silence});
  const completion silent = w.lane->spill(device(w.memory.get()), 8192, w.disk, 2, 0);
  try {
    silent.wait();
    ADD_FAILURE() << "silence was taken for an answer";
  } catch (const io_error& late) {
    EXPECT_EQ(late.error_number, ETIMEDOUT);
    EXPECT_NE(std::string(late.what()).find("record 2"), std::string::npos) << late.what();
  }
  EXPECT_THROW(w.lane->drain(), io_error);
}

TEST(tier_lane, gives_up_a_wait_that_takes_too_long) {
  host_copier copies;
  workplace w(copies, 1s, std::chrono::duration_cast<std::chrono::milliseconds>(shortly));
  w.failing.where->change({disk_fault::silence});
  const completion silent = w.lane->spill(device(w.memory.get()), 4096, w.disk, 1, 0);
  const completion behind = w.lane->fetch(w.disk, 1, device(w.memory.get() + room), 11, 0);
  try {
    silent.wait();
    ADD_FAILURE() << "silence was taken for an answer";
  } catch (const io_error& late) {
    EXPECT_EQ(late.error_number, ETIMEDOUT);
    EXPECT_NE(std::string(late.what()).find("waiting for the spill of record 1 to 'disk'"),
              std::string::npos)
        << late.what();
    EXPECT_EQ(thrown_by([&] { behind.wait(); }), std::string(late.what()));
    EXPECT_EQ(thrown_by([&] { w.lane->drain(); }), std::string(late.what()));
    EXPECT_EQ(thrown_by([&] { w.put(0, 1); }), std::string(late.what()));
  }
  EXPECT_TRUE(behind.ready());
  const auto begin = std::chrono::steady_clock::now();
  w.lane.reset();  // waits for the store, which gives up at last
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

TEST(tier_lane, gives_up_queuing_where_nothing_ends) {
  for (const bool drain : {false, true}) {
    late_copier copies(1);
    workplace w(copies, patiently, 40ms, 1);
    copies.hold(copy_way::down, true);
    (void)w.lane->spill(device(w.memory.get()), 5000, w.host_tier, 0, 0);
    try {
      if (drain) w.lane->drain();
      (void)w.lane->fetch(w.host_tier, 1, device(w.memory.get() + room), 1, 0);
      ADD_FAILURE() << "there was no room for another";
    } catch (const io_error& late) {
      EXPECT_EQ(late.error_number, ETIMEDOUT);
      EXPECT_NE(std::string(late.what()).find("the spill of record 0 to 'host'"), std::string::npos)
          << late.what();
    }
    copies.hold(copy_way::down, false);
  }
}

TEST(tier_lane, waits_as_long_as_something_ends) {
  host_copier copies;
  workplace w(copies, patiently, 1s);
  const amendment slow = [](const void*, std::byte*, std::size_t) {
    std::this_thread::sleep_for(125ms);
  };
  completion last;
  for (int i = 0; i < 12; ++i) {
    last = w.lane->amend(host(w.memory.get()), 1, slow, w.host_tier, 0, 0);
  }
  EXPECT_NO_THROW(last.wait());  // for 1.5 seconds
}

TEST(tier_lane, keeps_what_a_copier_throws) {
  for (const copy_way way : {copy_way::up, copy_way::down}) {
    for (std::uint64_t good = 0; good < 6; ++good) {
      late_copier copies(5, 50);
      workplace w(copies);
      for (std::size_t i = 0; i < sizes.size(); ++i) w.put(i, 1);
      copies.fail_after(way, good);
      std::vector<completion> all;
      const auto thrown = thrown_by([&] {
        for (std::uint64_t round = 0; round < 8; ++round) {
          const std::size_t i = round % sizes.size();
          all.push_back(
              w.lane->fetch(w.disk, i, device(w.memory.get() + 2 * round * room), sizes[i], 0));
          all.push_back(w.lane->spill(device(w.memory.get() + (2 * round + 1) * room), sizes[i],
                                      w.host_tier, i, 0));
        }
        for (const completion& c : all) c.wait();
      });
      ASSERT_TRUE(thrown);
      EXPECT_EQ(*thrown, "the device fell off its bus");
      EXPECT_EQ(copies.outstanding(), 0U);
      EXPECT_EQ(w.failing.where->outstanding(), 0U);
      EXPECT_EQ(thrown_by([&] { w.put(0, 1); }), thrown);
    }
  }
}

TEST(tier_lane, keeps_what_reading_the_unwritten_throws) {
  host_copier copies;
  workplace w(copies);
  const completion never = w.lane->fetch(w.disk, 3, device(w.memory.get()), 10, 0);
  EXPECT_THROW(never.wait(), invalid_argument);
  EXPECT_THROW(w.lane->drain(), invalid_argument);
}

TEST(tier_lane, is_destroyed_with_moves_under_way) {
  for (const bool failing : {false, true}) {
    late_copier copies(11, 500);
    workplace w(copies);
    if (failing) w.failing.where->change({disk_fault::eio, 2, 1});
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      fill(w.memory.get() + i * room, sizes[i], i, 1);
      (void)w.lane->spill(device(w.memory.get() + i * room), sizes[i], w.disk, i, 0);
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      (void)w.lane->fetch(w.disk, i, device(w.memory.get() + (8 + i) * room), sizes[i], 0);
    }
    w.lane.reset();
    EXPECT_EQ(copies.outstanding(), 0U);
    EXPECT_EQ(w.failing.where->outstanding(), 0U);
    if (failing) continue;
    // Moves are begun in order, and what was begun was done.
    bool before = true;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_LE(w.disk.written(i), before);
      before = w.disk.written(i);
      if (!w.disk.written(i)) continue;
      w.disk.read(i, w.memory.get()).wait();
      EXPECT_EQ(first_difference(w.memory.get(), sizes[i], i, 1), -1);
    }
  }
}

// Disks that do not answer hold up what must come after them, and nothing else.
TEST(tier_lane, goes_on_with_what_it_can) {
  host_copier copies;
  workplace w(copies, 2s);
  auto other = make_failing_disk(make_disk_engine(), {disk_fault::silence});
  disk_tier other_disk(std::move(other.engine), swap_file(w.scratch.path()), sizes,
                       {"the other", 2s});
  w.failing.where->change({disk_fault::silence});
  unsigned char* const there = w.memory.get() + room;
  fill(there, 4096, 1, 1);
  w.host_tier.write(1, there).wait();
  // The lane is held up until it can see all of these.
  std::promise<void> seen;
  const amendment wait = [&](const void*, std::byte*, std::size_t) { seen.get_future().wait(); };
  (void)w.lane->amend(host(there), 1, wait, w.host_tier, 4, 0);
  const completion silent = w.lane->spill(device(w.memory.get()), 5000, w.disk, 0, 0);
  (void)w.lane->spill(device(w.memory.get()), 5000, other_disk, 0, 0);
  const completion behind = w.lane->spill(device(there), 4096, w.host_tier, 2, 0);
  seen.set_value();
  for (int i = 0; i < 10; ++i) {
    std::memset(there + room, 0, 4096);
    w.lane->fetch(w.host_tier, 1, device(there + room), 4096, 0).wait();
    EXPECT_EQ(first_difference(there + room, 4096, 1, 1), -1);
  }
  EXPECT_FALSE(silent.ready());
  EXPECT_FALSE(behind.ready());  // spills complete in order
  // Of the record that is still being spilled, and whatever comes later.
  const completion same = w.lane->fetch(w.disk, 0, device(there), 5000, 0);
  const completion later = w.lane->fetch(w.host_tier, 1, device(there + room), 4096, 0);
  EXPECT_FALSE(later.ready());
  EXPECT_THROW(same.wait(), io_error);
  EXPECT_THROW(later.wait(), io_error);
  w.lane.reset();
}

}  // namespace
}  // namespace zero::testing
