#pragma once
// device_lane: the thread that queues one rank's operations on its device, for the rank's world
// and every group split from it, in the one order in which the rank asked for them.
//
// One lane for all groups: backends whose operations wait for each other on the device (NCCL) must
// be given them in one order on every rank, and two threads could not promise one.
//
// push is thread-safe. Allocates nothing after construction.

#include "device/queue.hpp"
#include "shared_memory/arena.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

namespace zero::collectives {

class lane_work {
 public:
  // Operation k of this group: the lane's part of it, errors included.
  virtual void carry_out(std::uint64_t k) noexcept = 0;

 protected:
  ~lane_work() = default;
};

class device_lane {
 public:
  // Throws error of class resource where no thread is to be had.
  device_lane(std::shared_ptr<const arena> pages, int world_rank,
              std::shared_ptr<device_queue> queue);
  device_lane(const device_lane&) = delete;
  device_lane& operator=(const device_lane&) = delete;
  ~device_lane();  // carries out what was pushed

  void push(lane_work& who, std::uint64_t k);

  [[nodiscard]] const std::shared_ptr<const arena>& pages() const noexcept { return pages_; }
  [[nodiscard]] device_queue& queue() const noexcept { return *queue_; }
  [[nodiscard]] const std::shared_ptr<device_queue>& shared_queue() const noexcept {
    return queue_;
  }

 private:
  struct item {
    lane_work* who;
    std::uint64_t k;
  };
  void run() noexcept;

  std::shared_ptr<const arena> pages_;
  std::shared_ptr<device_queue> queue_;
  rank_entry& bells_;
  std::mutex pushing_;
  std::array<item, 1024> items_;
  std::atomic<std::uint64_t> pushed_{0};
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace zero::collectives
