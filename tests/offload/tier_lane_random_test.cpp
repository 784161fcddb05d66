// Thousands of moves at random over three tiers, against a model that keeps what each record must
// hold as vectors and knows nothing of lanes: whatever the order in which things get done, what is
// fetched is what the order of the calls says.
#include "offload/late_copier.hpp"
#include "offload/scratch.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/memory_tier.hpp>
#include <zero/offload/tier_lane.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;
using namespace std::chrono_literals;
using bytes_of_record = std::vector<unsigned char>;

const std::vector<std::uint64_t> sizes{1, 0, 4096, 20011, 4097, 8191, 16384, 3, 12289};
constexpr std::uint64_t room = 20480;        // a stride of the largest record
constexpr std::uint64_t most_source = 8209;  // of an amendment: larger and smaller than records
constexpr unsigned char untouched = 0xE7;

struct setting {
  std::size_t bounces;
  int disk_depth;
  std::size_t lane_depth;
  bool late;  // a copier that is
  std::size_t slots = 12;
};

class random_moves : public ::testing::TestWithParam<setting> {
 protected:
  // Memory that one move at a time uses, and what it must hold once that is done.
  struct slot {
    explicit slot(std::uint64_t shift) : memory(room + 128), at(memory.get() + shift) {}
    aligned_memory memory;
    unsigned char* at;  // aligned: host; else a device's
    completion done;
    amendment change;
    bytes_of_record expected;  // from `at` on
  };
  struct tier {
    std::unique_ptr<tier_store> store;
    std::vector<bytes_of_record> model;
  };

  void SetUp() override {
    const setting& s = GetParam();
    if (s.late) {
      copier_ = std::make_unique<late_copier>(7, 60);
    } else {
      copier_ = std::make_unique<host_copier>();
    }
    tiers_.resize(3);
    tiers_[0].store = std::make_unique<memory_tier>(pages_, sizes);
    for (const std::size_t i : {1U, 2U}) {
      const auto kind = i == 1 ? disk_engine_kind::automatic : disk_engine_kind::threads;
      tiers_[i].store = std::make_unique<disk_tier>(make_disk_engine(kind, {s.disk_depth, 2}),
                                                    swap_file(scratch_.path()), sizes,
                                                    record_store_options{"the test's", 20s});
    }
    tier_lane_options options;
    options.bounce_memory = reinterpret_cast<std::byte*>(bounce_.get());
    options.bounce_bytes = room;
    options.bounces = s.bounces;
    options.depth = s.lane_depth;
    options.deadline = 60s;
    lane_ = std::make_unique<tier_lane>(*copier_, options);
    for (std::size_t i = 0; i < s.slots; ++i) {
      slots_.push_back(std::make_unique<slot>(i % 2 == 0 ? 0 : 1 + 2 * i));
    }
    for (tier& t : tiers_) {
      for (std::size_t r = 0; r < sizes.size(); ++r) {
        t.model.emplace_back();
        spill(t, r);
      }
    }
  }

  [[nodiscard]] std::uint64_t below(std::uint64_t n) { return random_() % n; }
  [[nodiscard]] move_end end_of(const slot& s) const {
    const bool aligned = s.at == s.memory.get();
    return {s.at, aligned ? memory_place::host : memory_place::device};
  }
  // A slot that no move uses; what the last one left there was right.
  slot& take() {
    slot& s = *slots_[below(slots_.size())];
    finish(s);
    return s;
  }
  static void finish(slot& s) {
    s.done.wait();
    s.done = {};
    ASSERT_TRUE(std::equal(s.expected.begin(), s.expected.end(), s.at));
    s.expected.clear();
  }
  void fill_at_random(slot& s, std::uint64_t bytes) {
    for (std::uint64_t i = 0; i < bytes; ++i) s.at[i] = static_cast<unsigned char>(random_());
    s.expected.assign(s.at, s.at + bytes);  // a source stays as it is
  }
  void queued(slot& s, const completion& done, std::deque<completion>& side) {
    s.done = done;
    side.push_back(done);
    if (side.size() > 40) side.pop_front();
    if (below(8) > 0) return;
    // Each side completes in order: of those before one that was waited for, all are ready.
    const std::size_t which = below(side.size());
    side[which].wait();
    for (std::size_t i = 0; i <= which; ++i) ASSERT_TRUE(side[i].ready());
  }

  void spill(tier& t, std::size_t r) {
    slot& s = take();
    fill_at_random(s, sizes[r]);
    t.model[r] = s.expected;
    queued(s, lane_->spill(end_of(s), sizes[r], *t.store, r, 0), spills_);
  }
  void fetch(tier& t, std::size_t r) {
    slot& s = take();
    const bool device = end_of(s).place == memory_place::device;
    const bool part = device || t.store->in_place(r) != nullptr;
    const std::uint64_t bytes = part && below(3) == 0 ? below(sizes[r] + 1) : sizes[r];
    std::memset(s.at, untouched, room);
    s.expected.assign(t.model[r].begin(), t.model[r].begin() + static_cast<std::ptrdiff_t>(bytes));
    if (part) s.expected.resize(room, untouched);
    queued(s, lane_->fetch(*t.store, r, end_of(s), bytes, 0), fetches_);
  }
  // The source, as often as needed one after the other, is added to the record.
  void amend(tier& t, std::size_t r) {
    slot& s = take();
    const std::uint64_t bytes = 1 + below(most_source);
    fill_at_random(s, bytes);
    s.change = [bytes](const void* from, std::byte* record, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) {
        const auto sum = static_cast<unsigned>(record[i]) +
                         static_cast<unsigned>(static_cast<const std::byte*>(from)[i % bytes]);
        record[i] = static_cast<std::byte>(sum);
      }
    };
    const bool device = end_of(s).place == memory_place::device;
    if (device && t.store->in_place(r) == nullptr && GetParam().bounces < 2) {
      EXPECT_THROW((void)lane_->amend(end_of(s), bytes, s.change, *t.store, r, 0),
                   invalid_argument);
      return;
    }
    for (std::uint64_t i = 0; i < sizes[r]; ++i) {
      t.model[r][i] = static_cast<unsigned char>(t.model[r][i] + s.expected[i % bytes]);
    }
    queued(s, lane_->amend(end_of(s), bytes, s.change, *t.store, r, 0), spills_);
  }
  void copy() {
    slot& from = take();
    slot& to = take();
    if (&from == &to) return;
    const copy_way way = below(2) == 0 ? copy_way::up : copy_way::down;
    const std::uint64_t bytes = below(room);
    fill_at_random(from, bytes);
    std::memset(to.at, untouched, room);
    to.expected = from.expected;
    to.expected.resize(room, untouched);
    to.done = lane_->copy(from.at, to.at, bytes, way, 0);
    queued(from, to.done, way == copy_way::up ? fetches_ : spills_);
  }
  void move_at_random() {
    tier& t = tiers_[below(tiers_.size())];
    // A few records more often than others, so that moves of one record meet.
    const std::size_t r = below(2) == 0 ? 3 + below(2) : below(sizes.size());
    switch (below(8)) {
      case 0:
      case 1:
        return spill(t, r);
      case 2:
      case 3:
        return amend(t, r);
      case 4:
        return copy();
      default:
        return fetch(t, r);
    }
  }

  scratch_directory scratch_;
  page_resource pages_;
  aligned_memory bounce_{5 * room};
  std::vector<tier> tiers_;
  std::unique_ptr<copier> copier_;
  std::vector<std::unique_ptr<slot>> slots_;
  std::unique_ptr<tier_lane> lane_;
  std::deque<completion> fetches_, spills_;
  std::mt19937_64 random_{20250101};
};

TEST_P(random_moves, end_as_the_order_of_the_calls_says) {
  const int moves = GetParam().late ? 1500 : 3000;
  for (int i = 0; i < moves && !HasFatalFailure(); ++i) {
    move_at_random();
    if (below(500) == 0) lane_->drain();
  }
  for (auto& s : slots_) finish(*s);
  lane_->drain();
  for (tier& t : tiers_) {  // past the lane, which has nothing to do
    for (std::size_t r = 0; r < sizes.size(); ++r) {
      const aligned_memory memory(room);
      t.store->read(r, memory.get()).wait();
      EXPECT_TRUE(std::equal(t.model[r].begin(), t.model[r].end(), memory.get())) << r;
    }
  }
}

const setting settings[] = {
    {1, 1, 1, false}, {1, 4, 64, false},  {2, 1, 3, false},      {2, 4, 64, false},
    {5, 4, 7, false}, {5, 16, 64, false}, {1, 1, 2, true},       {1, 4, 64, true},
    {2, 4, 64, true}, {5, 1, 16, true},   {5, 16, 64, true, 40},
};

INSTANTIATE_TEST_SUITE_P(all, random_moves, ::testing::ValuesIn(settings), [](const auto& test) {
  const setting& s = test.param;
  return std::to_string(s.bounces) + "_bounces_disk_" + std::to_string(s.disk_depth) + "_lane_" +
         std::to_string(s.lane_depth) + (s.late ? "_late" : "");
});

}  // namespace
}  // namespace zero::testing
