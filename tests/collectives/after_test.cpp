// Operations whose earlier work becomes ready late, from another thread, among others that are
// ready: they are posted by the lane, their neighbours by the caller, and all in one order.
#include "support/expect_everywhere.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;

// Tickets that a thread of its own makes ready one by one, now quickly and now slowly.
class late_source final : public completion_source {
 public:
  late_source() : thread_([this] { run(); }) {}
  ~late_source() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  [[nodiscard]] completion next() {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
    return {*this, asked_++};
  }
  void wait(std::uint64_t ticket) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_.load() > ticket; });
  }
  [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override {
    return done_.load() > ticket;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stop_ || asked_ > done_.load(); });
      if (stop_) return;
      lock.unlock();
      for (auto turns = random_() % 64; turns > 0; --turns) std::this_thread::yield();
      lock.lock();
      done_.fetch_add(1);
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::mt19937_64 random_{std::random_device{}()};  // how slowly; what is done does not depend
  std::uint64_t asked_ = 0;
  std::atomic<std::uint64_t> done_{0};
  bool stop_ = false;
  std::thread thread_;
};

// What an operation waits for: nothing, something that is ready, something that will be, or the
// operation before.
completion some_work(std::mt19937_64& random, late_source& late, completion& ready,
                     const completion& before) {
  switch (random() % 5) {
    case 0:
      return {};
    case 1:
      return before;
    case 2: {
      ready.wait();
      return ready;
    }
    default:
      return ready = late.next();
  }
}

TEST(late_work, keeps_operations_in_order) {
  for (const int size : {2, 3, 7}) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      std::vector<late_source> sources(static_cast<std::size_t>(size));
      run_ranks(size, [&](communicator& ranks) {
        const auto me = static_cast<std::size_t>(ranks.rank());
        std::mt19937_64 random(seed * 100 + me);
        late_source& late = sources[me];
        const auto n = static_cast<std::size_t>(size);
        const typed_span mine = block(ranks, 1);
        const typed_span all = block(ranks, n);
        auto* const value = static_cast<float*>(mine.data);
        *value = 1;
        completion ready, before;
        for (int round = 0; round < 100; ++round) {
          // value -> n value -> the sum over ranks of shares of it -> value again, all in fp32
          // without rounding: any two operations swapped give something else.
          before = ranks.all_reduce(mine, {some_work(random, late, ready, before), "a", round});
          before =
              ranks.all_gather(mine, all, {some_work(random, late, ready, before), "b", round});
          before = ranks.broadcast(mine, round % size,
                                   {some_work(random, late, ready, before), "c", round});
          if (round % 5 != 4) continue;
          before.wait();
          float expected = 1;
          for (int power = 0; power < 5; ++power) expected *= static_cast<float>(size);
          ASSERT_EQ(*value, expected);
          for (std::size_t i = 0; i < n; ++i) {
            ASSERT_EQ(static_cast<float*>(all.data)[i], expected);
          }
          ranks.barrier().wait();
          *value = 1;
        }
      });
    }
  }
}

TEST(late_work, does_not_hide_a_rank_that_differs) {
  // Operation `at` differs on one rank; it and its neighbours may be late on any rank. Nothing of
  // it or after it happens, and all are told of that very operation.
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const int size = seed % 2 == 0 ? 3 : 4;
    const int odd = static_cast<int>(seed / 2) % size;
    const int at = static_cast<int>(seed * 7 % 90);
    const std::string begin = "operation " + std::to_string(at) + ":";
    std::vector<late_source> sources(static_cast<std::size_t>(size));  // lanes may look later
    expect_everywhere<desync>(size, {odd}, {begin}, [&](communicator& ranks) {
      const auto me = static_cast<std::size_t>(ranks.rank());
      std::mt19937_64 random(seed * 100 + me);
      late_source& late = sources[me];
      const typed_span mine = block(ranks, 1);
      auto* const value = static_cast<float*>(mine.data);
      *value = ranks.rank() == 0 ? 1.0f : 0.0f;
      completion ready, before;
      try {
        for (int k = 0; k < 100; ++k) {
          const int tag = k == at && ranks.rank() == odd ? 1000 : k;
          const collectives::call how{some_work(random, late, ready, before), "", tag};
          before = k == 0   ? ranks.all_reduce(mine, how)
                   : k < at ? ranks.broadcast(mine, k % size, how)
                            : ranks.all_reduce(mine, how);
        }
        before.wait();
      } catch (const desync&) {
        // What was queued before it may have been cut short, even the first.
        EXPECT_TRUE(*value == 1.0f || (*value == 0.0f && ranks.rank() != 0)) << *value;
        throw;
      }
    });
  }
}

}  // namespace
}  // namespace zero::testing
