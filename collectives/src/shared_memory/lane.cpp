// The communication lane's side of shared_memory_communicator.
#include "shared_memory/shared_memory_communicator.hpp"

#include <zero/base/error.hpp>

#include <cfenv>
#include <csignal>
#include <string>

namespace zero::collectives {

void shared_memory_communicator::start_lane() {
  // Signals belong to the client's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    lane_ = std::thread([this] { lane(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void shared_memory_communicator::lane() noexcept {
  // Sums round to nearest and keep denormals, whatever the client's thread was set to.
  std::fesetenv(FE_DFL_ENV);
  const auto ended = [&] { return stop_.load() || group_.poisoned() != nullptr; };
  for (std::uint64_t k = 0;; ++k) {
    const record& r = records_[k % ring_size];
    // No deadline here: whoever waits for a completion has one, and ends this by poisoning.
    const auto may_begin = [&] {
      return ended() || (queued_.load() > k && (!r.posted || group_.gate_open(k)));
    };
    rest_until(may_begin);
    if (ended()) return;
    if (!r.posted && !post_late(k, r)) return;
    rest_until([&] { return ended() || group_.gate_open(k); });
    if (ended() || !run(k, r)) return;
  }
}

template <typename Done>
void shared_memory_communicator::rest_until(Done done) {
  poll_pause pause;
  while (!done()) {
    if (attend()) {
      pause.rest();
      continue;
    }
    wait_on(
        group_.own_lane(), [&] { return done() || wants_attention(); }, steady::time_point::max());
  }
}

bool shared_memory_communicator::post_late(std::uint64_t k, const record& r) noexcept {
  try {
    r.after.wait();
    group_.post(k, r.op);
    posted_.store(k + 1);
    return true;
  } catch (...) {
    fail();
    return false;
  }
}

bool shared_memory_communicator::run(std::uint64_t k, const record& r) {
  trace_event event;
  event.name = r.name;
  event.where = zero::lane::communication;
  event.unit = r.op.tag;
  if (trace_ != nullptr) event.begin = trace_clock();
  // Either this sees the poison, or who threw it sees `moving_` and waits for it.
  note_begin(r.place);
  moving_.store(true);
  const bool went = group_.poisoned() == nullptr && move(k, r.own);
  moving_.store(false);
  if (group_.poisoned() != nullptr) ring(group_.own_caller());
  if (!went) return false;
  note_end(r.place);
  if (trace_ != nullptr) {
    event.end = trace_clock();
    trace_->record(event);
  }
  group_.finish(k);
  return true;
}

void shared_memory_communicator::fail() noexcept {
  std::exception_ptr caught = std::current_exception();
  if (group_.poisoned() == nullptr && !failing_.exchange(true)) {
    own_error_ = caught;
    failed_.store(true);
  }
  const int me = own_world_rank();
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
