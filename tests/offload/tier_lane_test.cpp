// What a lane moves, one move at a time and a few: where the bytes end, what is counted, in which
// order things complete, and what is refused.
#include "offload/late_copier.hpp"
#include "offload/scratch.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/memory_tier.hpp>
#include <zero/offload/tier_lane.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<bool> counting{false};
std::atomic<std::size_t> counted{0};

void* allocate(std::size_t bytes) {
  if (counting.load()) counted.fetch_add(1);
  void* const block = std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }

namespace zero::testing {
namespace {

using namespace zero::offload;
using namespace std::chrono_literals;

constexpr std::uint64_t block_bytes = 128 << 10;
constexpr std::size_t block_count = 3;
const std::vector<std::uint64_t> odd_sizes{1, 0, 4096, 70001, 4097, 8191, block_bytes, 3};

// A lane between a memory tier, a disk tier and "devices" at odd addresses.
class lanes : public ::testing::TestWithParam<bool> {
 protected:
  lanes() {
    tier_lane_options options;
    options.bounce_memory = reinterpret_cast<std::byte*>(bounce_.get());
    options.bounce_bytes = block_bytes;
    options.bounces = block_count;
    options.deadline = 60s;
    lane_ = std::make_unique<tier_lane>(copier_, options);
  }
  // The tier the test runs over.
  [[nodiscard]] tier_store& store() {
    if (GetParam()) return disk_;
    return host_;
  }
  [[nodiscard]] static move_end device(unsigned char* at) { return {at, memory_place::device}; }
  [[nodiscard]] static move_end host(unsigned char* at) { return {at, memory_place::host}; }
  // A record read past the lane, once that has nothing to do.
  [[nodiscard]] std::vector<unsigned char> held(std::size_t record) {
    lane_->drain();
    const aligned_memory memory(block_bytes);
    store().read(record, memory.get()).wait();
    return {memory.get(), memory.get() + store().bytes(record)};
  }

  scratch_directory scratch_;
  page_resource pages_;
  memory_tier host_{pages_, odd_sizes};
  disk_tier disk_{make_disk_engine(), swap_file(scratch_.path()), odd_sizes,
                  record_store_options{"the test's", 20s}};
  host_copier copier_;
  aligned_memory bounce_{block_count * block_bytes};
  aligned_memory device_{block_bytes + 64};
  aligned_memory memory_{block_bytes};
  std::unique_ptr<tier_lane> lane_;
};

TEST_P(lanes, bring_back_what_they_took_away) {
  for (const bool from_device : {true, false}) {
    for (const bool to_device : {true, false}) {
      const std::uint64_t generation = 2U * from_device + to_device;
      for (std::size_t i = 0; i < odd_sizes.size(); ++i) {
        const std::uint64_t bytes = odd_sizes[i];
        unsigned char* const from = from_device ? device_.get() + 13 : memory_.get();
        fill(from, bytes, i, generation);
        lane_->spill(from_device ? device(from) : host(from), bytes, store(), i, 7).wait();
        std::memset(device_.get(), 0x5A, block_bytes + 64);
        std::memset(memory_.get(), 0x5A, block_bytes);
        unsigned char* const to = to_device ? device_.get() + 1 : memory_.get();
        lane_->fetch(store(), i, to_device ? device(to) : host(to), bytes, 7).wait();
        EXPECT_EQ(first_difference(to, bytes, i, generation), -1) << i;
        if (to_device) {
          EXPECT_EQ(device_.get()[0], 0x5A);
          EXPECT_EQ(device_.get()[1 + bytes], 0x5A);
        }
      }
    }
  }
}

TEST_P(lanes, bring_the_first_bytes_alone) {
  fill(memory_.get(), 70001, 3, 1);
  (void)lane_->spill(host(memory_.get()), 70001, store(), 3, 0);
  std::memset(device_.get(), 0x5A, block_bytes + 64);
  lane_->fetch(store(), 3, device(device_.get() + 5), 4999, 0).wait();
  EXPECT_EQ(first_difference(device_.get() + 5, 4999, 3, 1), -1);
  EXPECT_EQ(device_.get()[4], 0x5A);
  EXPECT_EQ(device_.get()[5 + 4999], 0x5A);
}

TEST_P(lanes, change_records) {
  // Each byte becomes the sum of itself and of two of the source; the source may be twice as long.
  std::size_t calls = 0;
  const amendment add = [&](const void* from, std::byte* record, std::size_t bytes) {
    ++calls;
    for (std::size_t i = 0; i < bytes; ++i) {
      const auto* const f = static_cast<const unsigned char*>(from) + 2 * i;
      record[i] = static_cast<std::byte>(static_cast<unsigned>(record[i]) + f[0] + f[1]);
    }
  };
  std::size_t expected_calls = 0;
  for (const bool on_device : {true, false}) {
    for (const std::size_t i : {0U, 1U, 2U, 4U, 7U}) {
      const std::uint64_t bytes = odd_sizes[i];
      fill(memory_.get(), bytes, i, 1);
      lane_->spill(host(memory_.get()), bytes, store(), i, 0).wait();
      unsigned char* const source = on_device ? device_.get() + 3 : memory_.get() + 3;
      fill(source, 2 * bytes, 99, i);
      (void)lane_->amend(on_device ? device(source) : host(source), 2 * bytes, add, store(), i, 0);
      lane_->amend(on_device ? device(source) : host(source), 2 * bytes, add, store(), i, 0).wait();
      const auto now = held(i);
      for (std::uint64_t b = 0; b < bytes; ++b) {
        const unsigned expected =
            byte_of(i, 1, b) + 2U * byte_of(99, i, 2 * b) + 2U * byte_of(99, i, 2 * b + 1);
        ASSERT_EQ(now[b], static_cast<unsigned char>(expected)) << i << " at " << b;
      }
      expected_calls += 2;
    }
  }
  EXPECT_EQ(calls, expected_calls);
}

TEST_P(lanes, copy_what_is_longer_than_a_bounce) {
  const std::uint64_t bytes = 3 * block_count * block_bytes + 17;
  const aligned_memory above(bytes), below(bytes);
  fill(above.get(), bytes, 5, 5);
  lane_->copy(above.get(), below.get(), bytes, copy_way::down, 0).wait();
  EXPECT_EQ(first_difference(below.get(), bytes, 5, 5), -1);
  fill(below.get(), bytes, 6, 5);
  lane_->copy(below.get(), above.get(), bytes, copy_way::up, 0).wait();
  EXPECT_EQ(first_difference(above.get(), bytes, 6, 5), -1);
  EXPECT_EQ(lane_->traffic().host_to_device, bytes);
  EXPECT_EQ(lane_->traffic().device_to_host, bytes);
  EXPECT_EQ(lane_->traffic().disk_read + lane_->traffic().disk_written, 0U);
}

TEST_P(lanes, bring_what_was_taken_just_before) {
  std::vector<completion> all;
  const aligned_memory many(40 * 8192);
  for (std::uint64_t round = 0; round < 20; ++round) {
    unsigned char* const from = many.get() + 2 * round * 8192;
    fill(from, 4097, 4, round);
    (void)lane_->spill(device(from), 4097, store(), 4, 0);
    all.push_back(lane_->fetch(store(), 4, device(from + 8192 + 1), 4097, 0));
  }
  for (std::uint64_t round = 0; round < 20; ++round) {
    all[round].wait();
    EXPECT_EQ(first_difference(many.get() + (2 * round + 1) * 8192 + 1, 4097, 4, round), -1);
  }
}

TEST_P(lanes, count_their_traffic) {
  const bool disk = GetParam();
  const std::uint64_t stride = store().stride(3);
  (void)lane_->spill(device(device_.get() + 1), 70001, store(), 3, 0);
  lane_->drain();
  EXPECT_EQ(lane_->traffic().device_to_host, 70001U);
  EXPECT_EQ(lane_->traffic().disk_written, disk ? stride : 0U);
  (void)lane_->fetch(store(), 3, device(device_.get()), 50, 0);
  (void)lane_->fetch(store(), 3, host(memory_.get()), 70001, 0);
  lane_->drain();
  EXPECT_EQ(lane_->traffic().host_to_device, 50U);
  EXPECT_EQ(lane_->traffic().disk_read, disk ? 2 * stride : 0U);
  const amendment nothing = [](const void*, std::byte*, std::size_t) {};
  (void)lane_->amend(device(device_.get()), 100, nothing, store(), 3, 0);
  (void)lane_->amend(host(memory_.get()), 100, nothing, store(), 3, 0);
  lane_->drain();
  EXPECT_EQ(lane_->traffic().host_to_device, 50U);
  EXPECT_EQ(lane_->traffic().device_to_host, 70101U);
  EXPECT_EQ(lane_->traffic().disk_read, disk ? 4 * stride : 0U);
  EXPECT_EQ(lane_->traffic().disk_written, disk ? 3 * stride : 0U);
  EXPECT_EQ(disk_.reads().bytes, lane_->traffic().disk_read);
  EXPECT_EQ(disk_.writes().bytes, lane_->traffic().disk_written);
}

// A lane is busy from the first move to the end of the last, whatever went on at once.
TEST_P(lanes, count_the_time_they_move) {
  EXPECT_EQ(lane_->traffic().moving, 0ns);
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < odd_sizes.size(); ++i) {
    (void)lane_->spill(device(device_.get()), odd_sizes[i], store(), i, 0);
  }
  lane_->drain();
  const tier_traffic down = lane_->traffic();
  EXPECT_GT(down.copying_down, 0ns);
  EXPECT_EQ(down.copying_up, 0ns);
  EXPECT_LE(down.copying_down, down.moving);
  (void)lane_->fetch(store(), 3, device(device_.get()), 70001, 0);
  lane_->drain();
  const tier_traffic both = lane_->traffic();
  EXPECT_GT(both.copying_up, 0ns);
  EXPECT_EQ(both.copying_down, down.copying_down);
  EXPECT_GT(both.moving, down.moving);
  EXPECT_LE(both.moving, std::chrono::steady_clock::now() - begin);
}

// Transfers of several stores at once are one time, not several.
TEST(lane_times, of_disks_are_no_longer_than_the_lane_moves) {
  const scratch_directory scratch;
  host_copier copies;
  const std::vector<std::uint64_t> sizes(16, 65536);
  disk_tier first(make_disk_engine(), swap_file(scratch.path()), sizes);
  disk_tier second(make_disk_engine(), swap_file(scratch.path()), sizes);
  const aligned_memory memory(65536);
  tier_lane lane(copies, {});
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    (void)lane.spill({memory.get(), memory_place::host}, 65536, first, i, 0);
    (void)lane.spill({memory.get(), memory_place::host}, 65536, second, i, 0);
  }
  lane.drain();
  EXPECT_GT(lane.traffic().writing, 0ns);
  EXPECT_LE(lane.traffic().writing, lane.traffic().moving);
  EXPECT_EQ(lane.traffic().reading, 0ns);
}

// Copies of a device count from when the first was queued until the last is there.
TEST(lane_times, are_of_what_is_under_way) {
  late_copier copies(1, 20);
  tier_lane lane(copies, {});
  std::vector<unsigned char> from(1000, 1), to(1000);
  copies.hold(copy_way::up, true);
  (void)lane.copy(from.data(), to.data(), 500, copy_way::up, 0);
  (void)lane.copy(from.data(), to.data() + 500, 500, copy_way::up, 0);
  while (copies.outstanding() < 1) std::this_thread::yield();
  const auto begun = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(20ms);  // it is held for so long at least
  const auto held = std::chrono::steady_clock::now() - begun;
  copies.hold(copy_way::up, false);
  lane.drain();
  EXPECT_EQ(to, from);
  EXPECT_GE(lane.traffic().copying_up, held);
  EXPECT_GE(lane.traffic().moving, held);
  EXPECT_EQ(lane.traffic().copying_down, 0ns);
}

TEST_P(lanes, record_what_they_do) {
  trace_recorder recorder(16);
  lane_->set_trace(&recorder);
  const std::int64_t begin = trace_clock();
  const amendment nothing = [](const void*, std::byte*, std::size_t) {};
  lane_->spill(host(memory_.get()), 4096, store(), 2, 11).wait();
  lane_->fetch(store(), 2, device(device_.get()), 4096, 12).wait();
  lane_->amend(host(memory_.get()), 1, nothing, store(), 2, 13).wait();
  lane_->copy(memory_.get(), device_.get(), 9, copy_way::up, 14).wait();
  lane_->copy(device_.get(), memory_.get(), 9, copy_way::down, 15).wait();
  lane_->drain();
  lane_->set_trace(nullptr);
  lane_->fetch(store(), 2, device(device_.get()), 4096, 16).wait();
  const std::int64_t end = trace_clock();
  const auto events = recorder.events();
  ASSERT_EQ(events.size(), 5U);
  const bool in[] = {false, true, false, true, false};
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_STREQ(events[i].name, in[i] ? "fetch" : "spill");
    EXPECT_EQ(events[i].where, in[i] ? zero::lane::copy_in : zero::lane::copy_out);
    EXPECT_EQ(events[i].unit, 11 + static_cast<int>(i));
    EXPECT_LE(begin, events[i].begin);
    EXPECT_LE(events[i].begin, events[i].end);
    EXPECT_LE(events[i].end, end);
  }
}

TEST_P(lanes, allocate_nothing_in_the_steady_state) {
  const amendment nothing = [](const void*, std::byte*, std::size_t) {};
  const auto round = [&] {
    for (std::size_t i = 0; i < odd_sizes.size(); ++i) {
      (void)lane_->spill(device(device_.get() + 1), odd_sizes[i], store(), i, 0);
      (void)lane_->amend(device(device_.get()), 77, nothing, store(), i, 0);
      (void)lane_->fetch(store(), i, device(device_.get()), odd_sizes[i], 0);
    }
    lane_->drain();
  };
  round();
  counting.store(true);
  for (int i = 0; i < 5; ++i) round();
  counting.store(false);
  EXPECT_EQ(counted.load(), 0U);
}

TEST_P(lanes, refuse_what_cannot_be) {
  const amendment nothing = [](const void*, std::byte*, std::size_t) {};
  unsigned char* const m = memory_.get();
  const std::size_t all = odd_sizes.size();
  EXPECT_THROW((void)lane_->fetch(store(), all, host(m), 1, 0), invalid_argument);
  EXPECT_THROW((void)lane_->spill(host(m), 1, store(), all, 0), invalid_argument);
  EXPECT_THROW((void)lane_->amend(host(m), 1, nothing, store(), all, 0), invalid_argument);
  EXPECT_THROW((void)lane_->fetch(store(), 2, host(m), 4097, 0), invalid_argument);
  EXPECT_THROW((void)lane_->spill(host(m), 4097, store(), 2, 0), invalid_argument);
  EXPECT_THROW((void)lane_->fetch(store(), 2, host(nullptr), 1, 0), invalid_argument);
  EXPECT_THROW((void)lane_->spill(host(nullptr), 1, store(), 2, 0), invalid_argument);
  EXPECT_THROW((void)lane_->amend(host(nullptr), 1, nothing, store(), 2, 0), invalid_argument);
  EXPECT_THROW((void)lane_->amend(host(m), 1, amendment(), store(), 2, 0), invalid_argument);
  EXPECT_THROW((void)lane_->copy(nullptr, m, 1, copy_way::up, 0), invalid_argument);
  EXPECT_THROW((void)lane_->copy(m, nullptr, 1, copy_way::down, 0), invalid_argument);
  EXPECT_THROW((void)lane_->amend(device(m), block_bytes + 1, nothing, store(), 2, 0),
               invalid_argument);
  if (GetParam()) {
    EXPECT_THROW((void)lane_->fetch(store(), 2, host(m + 64), 4096, 0), invalid_argument);
    EXPECT_THROW((void)lane_->spill(host(m + 64), 4096, store(), 2, 0), invalid_argument);
  }
  // No harm was done.
  lane_->spill(host(m), 4096, store(), 2, 0).wait();
  lane_->fetch(store(), 2, device(m), 4096, 0).wait();
}

INSTANTIATE_TEST_SUITE_P(all, lanes, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "disk" : "memory"; });

TEST(tier_lane, needs_bounces_that_fit) {
  host_copier copies;
  tier_lane_options options;
  options.depth = 0;
  EXPECT_THROW(tier_lane(copies, options), invalid_argument);
  options.depth = 4;
  options.bounces = 1;
  EXPECT_THROW(tier_lane(copies, options), invalid_argument);
  aligned_memory memory(4 * block_bytes);
  options.bounce_memory = reinterpret_cast<std::byte*>(memory.get());
  EXPECT_THROW(tier_lane(copies, options), invalid_argument);

  const std::vector<std::uint64_t> sizes{5000, 4096};
  const scratch_directory scratch;
  disk_tier disk(make_disk_engine(), swap_file(scratch.path()), sizes);
  page_resource pages;
  memory_tier host_tier(pages, sizes);
  unsigned char* const m = memory.get() + 2 * block_bytes;
  const amendment nothing = [](const void*, std::byte*, std::size_t) {};
  {  // without bounces
    tier_lane lane(copies, {});
    EXPECT_THROW((void)lane.spill(move_end{m, memory_place::device}, 5000, disk, 0, 0),
                 invalid_argument);
    EXPECT_THROW((void)lane.fetch(disk, 0, move_end{m, memory_place::device}, 5000, 0),
                 invalid_argument);
    EXPECT_THROW((void)lane.amend(move_end{m, memory_place::host}, 5, nothing, disk, 0, 0),
                 invalid_argument);
    EXPECT_THROW((void)lane.amend(move_end{m, memory_place::device}, 5, nothing, host_tier, 0, 0),
                 invalid_argument);
    lane.spill(move_end{m, memory_place::host}, 5000, disk, 0, 0).wait();
    lane.amend(move_end{m, memory_place::host}, 5, nothing, host_tier, 0, 0).wait();
    lane.fetch(host_tier, 0, move_end{m, memory_place::device}, 5000, 0).wait();
  }
  {  // too small for a record, not aligned, and one where two are needed
    options.bounce_bytes = 8191;
    tier_lane small(copies, options);
    EXPECT_THROW((void)small.spill(move_end{m, memory_place::device}, 5000, disk, 0, 0),
                 invalid_argument);
    EXPECT_THROW((void)small.spill(move_end{m, memory_place::device}, 4096, disk, 1, 0),
                 invalid_argument);
    EXPECT_NO_THROW(
        small.amend(move_end{m, memory_place::device}, 8191, nothing, host_tier, 1, 0).wait());
    options.bounce_bytes = 12288;
    tier_lane one(copies, options);
    one.spill(move_end{m, memory_place::device}, 5000, disk, 0, 0).wait();
    EXPECT_THROW((void)one.amend(move_end{m, memory_place::device}, 5, nothing, disk, 0, 0),
                 invalid_argument);
    EXPECT_NO_THROW(one.amend(move_end{m, memory_place::host}, 5, nothing, disk, 0, 0).wait());
  }
}

}  // namespace
}  // namespace zero::testing
