#include "device/device_lane.hpp"

#include <zero/base/error.hpp>

#include <csignal>
#include <string>
#include <utility>

namespace zero::collectives {

device_lane::device_lane(std::shared_ptr<const arena> pages, int world_rank,
                         std::shared_ptr<device_queue> queue)
    : pages_(std::move(pages)), queue_(std::move(queue)), bells_(pages_->entry(world_rank)) {
  // Signals belong to the client's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::exception& why) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw error(std::string("[collectives] starting a lane: ") + why.what(), error_class::resource);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

device_lane::~device_lane() {
  stop_.store(true);
  ring(bells_.lane);
  thread_.join();
}

void device_lane::push(lane_work& who, std::uint64_t k) {
  const std::lock_guard lock(pushing_);
  const std::uint64_t at = pushed_.load();
  wait_on(
      bells_.caller, [&] { return at < taken_.load() + items_.size(); }, steady::time_point::max());
  items_[at % items_.size()] = {&who, k};
  pushed_.store(at + 1);
  ring(bells_.lane);
}

void device_lane::run() noexcept {
  for (std::uint64_t next = 0;; ++next) {
    wait_on(
        bells_.lane, [&] { return pushed_.load() > next || stop_.load(); },
        steady::time_point::max());
    if (pushed_.load() <= next) return;
    const item one = items_[next % items_.size()];
    taken_.store(next + 1);
    one.who->carry_out(one.k);
  }
}

}  // namespace zero::collectives
