#pragma once
// What a tier_lane is inside: its thread, the ring of moves, and the tickets of both directions.
//
// Invariant: moves are counted from 0. Those before `ended_` are over and their places in the ring
// free; those before `begun_` are or were under way; those before `queued_` wait for their turn.
// A place is written under the mutex while it is free, and then is the lane's thread's alone but
// for what was asked for and the ticket, which nobody changes.

#include "tier_lane_mover.hpp"

#include <zero/base/completion.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace zero::offload {

class tier_lane::worker {
 public:
  worker(copier& copies, const tier_lane_options& options);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker();

  completion queue(const move_request& what);
  void drain();
  [[nodiscard]] tier_traffic traffic() const noexcept {
    tier_traffic moved = mover_.traffic();
    moved.moving = moving_.total();
    return moved;
  }
  void set_trace(trace_recorder* recorder) noexcept { trace_.store(recorder); }

 private:
  using clock = std::chrono::steady_clock;

  // Fetches are one, spills the other.
  class tickets final : public completion_source {
   public:
    void wait(std::uint64_t ticket) override { owner->wait(*this, ticket); }
    [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override {
      return owner->failed_.load(std::memory_order_acquire) ||
             done.load(std::memory_order_acquire) >= ticket;
    }

    worker* owner = nullptr;
    std::uint64_t queued = 0;
    std::atomic<std::uint64_t> done{0};
  };
  struct place {
    move m;
    tickets* side = nullptr;
    std::uint64_t ticket = 0;
  };

  [[nodiscard]] place& at(std::uint64_t number) noexcept { return ring_[number % ring_.size()]; }
  template <typename Find, typename Condition>
  void await(std::unique_lock<std::mutex>& lock, Find find, Condition over);
  void wait(tickets& side, std::uint64_t ticket);

  // Of the lane's thread.
  void run();
  bool turn(std::uint64_t until);
  [[nodiscard]] clock::duration nap() const;
  [[nodiscard]] bool may_begin(const move& m);
  bool follow(place& p);
  void publish();
  bool wait_for_oldest();
  void give_up(const std::exception_ptr& why) noexcept;

  mover mover_;
  busy_time moving_;
  std::chrono::milliseconds deadline_;
  std::vector<place> ring_;
  tickets fetches_;
  tickets spills_;
  std::atomic<trace_recorder*> trace_{nullptr};
  std::atomic<bool> failed_{false};  // error_ is there

  std::mutex mutex_;
  std::condition_variable queued_more_;
  std::condition_variable changed_;  // moves have ended
  std::uint64_t queued_ = 0;
  std::uint64_t ended_ = 0;
  std::uint64_t ends_ = 0;  // how often a move has ended
  int waiting_ = 0;         // threads in await
  bool stop_ = false;
  std::exception_ptr error_;  // the first

  std::uint64_t first_ = 0;  // as ended_; the lane's thread's own
  std::uint64_t begun_ = 0;
  clock::time_point still_since_;  // nothing has changed
  clock::duration usual_{0};       // that nothing does, where that has to be waited for
  bool napped_ = false;            // since then, to the end
  std::thread thread_;             // last: it uses the rest
};

}  // namespace zero::offload
