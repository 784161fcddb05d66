#include "shared_memory/bell.hpp"

#include <hwy/cache_control.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>

namespace zero::collectives {

static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void ring(bell& b) noexcept {
  if (b.sleepers.load() == 0) return;
  b.word.fetch_add(1);
  syscall(SYS_futex, &b.word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void sleep_on(bell& b, std::uint32_t expected, steady::time_point deadline) noexcept {
  timespec timeout{};
  timespec* limit = nullptr;
  if (deadline != steady::time_point::max()) {
    const auto left = std::chrono::nanoseconds(deadline - steady::now()).count();
    if (left <= 0) return;
    timeout.tv_sec = static_cast<std::time_t>(left / 1'000'000'000);
    timeout.tv_nsec = static_cast<long>(left % 1'000'000'000);
    limit = &timeout;
  }
  // Not private: the sleeper and the ringer may be two processes.
  syscall(SYS_futex, &b.word, FUTEX_WAIT, expected, limit, nullptr, 0);
}

void poll_pause::rest() noexcept {
  constexpr int yields = 32;
  constexpr long step = 10'000, longest = 200'000;  // nanoseconds
  if (rests_ < yields) {
    ++rests_;
    sched_yield();
    return;
  }
  const timespec time{0, std::min(longest, step * (++rests_ - yields))};
  nanosleep(&time, nullptr);
}

void pause_core() noexcept { hwy::Pause(); }

}  // namespace zero::collectives
