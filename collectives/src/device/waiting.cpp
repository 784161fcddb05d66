// Waiting for operations of a device_communicator, and what its errors do.
#include "device/device_communicator.hpp"
#include "device/poll.hpp"
#include "shared_memory/poison.hpp"

#include <zero/base/error.hpp>

#include <string>

namespace zero::collectives {

void device_communicator::wait(std::uint64_t ticket) {
  wait_until_queued(ticket);
  wait_for_device(ticket);
}

void device_communicator::order(std::uint64_t ticket, stream& later) {
  if (later.native() == nullptr) return wait(ticket);
  wait_until_queued(ticket);
  if (known_done_.load() > ticket) return;
  executor_->order(ticket, later);
}

bool device_communicator::ready(std::uint64_t ticket) const noexcept {
  if (group_.poisoned() != nullptr || group_.forsaken(ticket)) return true;
  if (group_.completed() <= ticket) return false;
  try {
    return device_done(ticket);
  } catch (...) {
    return true;  // wait throws it
  }
}

// Blocks until every rank's lane has queued its part.
void device_communicator::wait_until_queued(std::uint64_t ticket) {
  const auto over = [&] {
    return group_.completed() > ticket || group_.poisoned() != nullptr || group_.forsaken(ticket);
  };
  for (;;) {
    check_usable();
    const std::uint64_t before = group_.completed();
    if (before > ticket) return;
    if (group_.forsaken(ticket)) {
      group_.poison_forsaken(ticket);
      continue;
    }
    const steady::duration limit = patience();
    if (group_.wait_for(group_.own_caller(), over, ticket, limit)) continue;
    if (!group_.poison_late(ticket, limit)) continue;  // slow, but it goes on
    if (group_.poisoned() == nullptr && group_.completed() == before) {
      throw peer_lost(std::string("[collectives.") + backend_ + "] no answer, and no error to read",
                      {});
    }
  }
}

// A mark is used again `outstanding` operations later; by then this rank has waited for the first
// use, so that what is not known to be done has its own mark still.
bool device_communicator::device_done(std::uint64_t ticket) const {
  if (known_done_.load() > ticket) return true;
  if (!executor_->done(ticket)) return false;
  std::uint64_t before = known_done_.load();
  while (before <= ticket && !known_done_.compare_exchange_weak(before, ticket + 1)) {
  }
  return true;
}

void device_communicator::wait_for_device(std::uint64_t ticket) {
  std::uint64_t next = known_done_.load();  // the first that is not known to be done
  try {
    for (;;) {
      const steady::duration limit = patience();
      const std::uint64_t before = next;
      const auto over = [&] {
        if (device_done(ticket) || group_.poisoned() != nullptr) return true;
        while (next < ticket && device_done(next)) ++next;
        return next > before;  // slow, but it goes on
      };
      const bool moved = poll(over, limit);
      if (device_done(ticket)) return;
      if (group_.poisoned() != nullptr) break;
      if (moved) continue;
      poison_hung(next, limit);
      break;
    }
  } catch (...) {
    fail();  // the device failed, if that was not the end of an error that was there before
  }
  check_usable();
}

void device_communicator::poison_hung(std::uint64_t k, steady::duration waited) {
  std::vector<int> culprits;
  for (const int i : executor_->behind(k)) culprits.push_back(group_.world_rank(i));
  const std::string whose = culprits.empty() ? "the devices of ranks, one of which does not go on,"
                                             : std::string("the work of ") +
                                                   (culprits.size() == 1 ? "rank " : "ranks ") +
                                                   format_ranks(culprits) + " on the device";
  group_.poison(error_class::peer_lost, culprits,
                "rank " + std::to_string(group_.world_rank(rank())) + " waited " +
                    std::to_string(std::chrono::duration<double>(waited).count()) + " s for " +
                    whose + " to finish " + group_.title(k) + ", which all have queued");
}

void device_communicator::check_usable() const {
  const poison_record* const poison = group_.poisoned();
  if (poison == nullptr) return;
  // Who catches this frees the memory.
  ring(group_.own_lane());
  executor_->quiet(true, patience());
  try {
    if (failed_.load()) std::rethrow_exception(own_error_);
    throw_poison(*poison, backend());
  } catch (...) {
    record_caught();
    throw;
  }
}

void device_communicator::fail() const noexcept {
  std::exception_ptr caught = std::current_exception();
  if (group_.poisoned() == nullptr && !failing_.exchange(true)) {
    own_error_ = caught;
    failed_.store(true);
  }
  const int me = group_.world_rank(rank());
  const std::string begin = "rank " + std::to_string(me) + " failed: ";
  try {
    std::rethrow_exception(caught);
  } catch (const std::exception& why) {
    group_.poison(error_class::peer_lost, {me}, begin + why.what());
  } catch (...) {
    group_.poison(error_class::peer_lost, {me}, begin + "unknown exception");
  }
}

}  // namespace zero::collectives
