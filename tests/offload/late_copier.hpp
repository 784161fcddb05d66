#pragma once
// A copier whose copies are done later, by a thread of its own, after pauses of random length: as a
// device's are. Only what it has done is ready.

#include <zero/base/completion.hpp>
#include <zero/base/copier.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>

namespace zero::testing {

class late_copier final : public copier {
 public:
  explicit late_copier(unsigned seed, int longest_pause_us = 200)
      : ways_{std::make_unique<one_way>(seed, longest_pause_us),
              std::make_unique<one_way>(seed + 1, longest_pause_us)} {}

  completion copy(const void* from, void* to, std::size_t bytes, copy_way way) override {
    return ways_[way == copy_way::up ? 0 : 1]->queue({from, to, bytes});
  }
  // Copies that way are queued and not done from now on, until released.
  void hold(copy_way way, bool held) { ways_[way == copy_way::up ? 0 : 1]->hold(held); }
  // The copy after this many more fails, and all that come later.
  void fail_after(copy_way way, std::uint64_t copies) {
    ways_[way == copy_way::up ? 0 : 1]->fail_after(copies);
  }
  // Queued and not done.
  [[nodiscard]] std::size_t outstanding() const {
    return ways_[0]->outstanding() + ways_[1]->outstanding();
  }

 private:
  struct work {
    const void* from;
    void* to;
    std::size_t bytes;
  };
  class one_way final : public completion_source {
   public:
    one_way(unsigned seed, int pause)
        : random_(seed), pause_(0, pause), thread_([this] { run(); }) {}
    ~one_way() {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        stop_ = true;
      }
      changed_.notify_all();
      thread_.join();
    }
    completion queue(const work& w) {
      const std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(w);
      changed_.notify_all();
      return {*this, ++queued_};
    }
    void hold(bool held) {
      const std::lock_guard<std::mutex> lock(mutex_);
      held_ = held;
      changed_.notify_all();
    }
    void fail_after(std::uint64_t copies) {
      const std::lock_guard<std::mutex> lock(mutex_);
      failing_ = queued_ + copies + 1;
    }
    [[nodiscard]] std::size_t outstanding() const {
      const std::lock_guard<std::mutex> lock(mutex_);
      return queued_ - done_;
    }
    void wait(std::uint64_t ticket) override {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return done_ >= ticket; });
      if (ticket >= failing_) throw std::runtime_error("the device fell off its bus");
    }
    [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override {
      const std::lock_guard<std::mutex> lock(mutex_);
      return done_ >= ticket;
    }

   private:
    void run() {
      std::unique_lock<std::mutex> lock(mutex_);
      for (;;) {
        changed_.wait(lock, [&] { return stop_ || (!held_ && !queue_.empty()); });
        if (queue_.empty()) return;
        const work w = queue_.front();
        queue_.pop_front();
        const bool fails = done_ + 1 >= failing_;
        const auto pause = std::chrono::microseconds(pause_(random_));
        lock.unlock();
        std::this_thread::sleep_for(pause);
        if (w.bytes > 0 && !fails) std::memcpy(w.to, w.from, w.bytes);
        lock.lock();
        ++done_;
        changed_.notify_all();
      }
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<work> queue_;
    std::uint64_t queued_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t failing_ = std::uint64_t(-1);
    bool held_ = false;
    bool stop_ = false;
    std::mt19937 random_;
    std::uniform_int_distribution<int> pause_;
    std::thread thread_;
  };

  std::array<std::unique_ptr<one_way>, 2> ways_;
};

}  // namespace zero::testing
