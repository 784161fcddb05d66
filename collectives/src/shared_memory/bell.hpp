#pragma once
// bell: what a rank sleeps on until something it waits for may have happened. Lives in shared
// memory, zero-filled at first; works between threads and between processes (futex).
//
// The pattern that loses no wake-up: who changes something stores it (sequentially consistent) and
// then rings; who waits counts itself as a sleeper and then looks once more before it sleeps. So
// ringing costs one load while nobody sleeps.

#include <atomic>
#include <chrono>
#include <cstdint>

namespace zero::collectives {

using steady = std::chrono::steady_clock;

struct alignas(64) bell {
  std::atomic<std::uint32_t> word;
  std::atomic<std::uint32_t> sleepers;
};

// Wakes everyone who sleeps on it.
void ring(bell& b) noexcept;

// Sleeps while b.word == expected, until rung or until the deadline at the latest; may return
// early. time_point::max() is no deadline.
void sleep_on(bell& b, std::uint32_t expected, steady::time_point deadline) noexcept;

// One short pause of a core that looks again at once.
void pause_core() noexcept;

// What rests between two looks at something that cannot ring: the longer nothing came of it, the
// longer, up to a fifth of a millisecond.
class poll_pause {
 public:
  void rest() noexcept;

 private:
  int rests_ = 0;
};

// Blocks until done() or the deadline; returns the last done(). Spins for about a microsecond at
// first, no longer: ranks may be more than cores.
template <typename Done>
bool wait_on(bell& b, Done done, steady::time_point deadline) {
  for (int i = 0; i < 16; ++i) {
    if (done()) return true;
    pause_core();
  }
  for (;;) {
    const std::uint32_t seen = b.word.load();
    b.sleepers.fetch_add(1);
    const bool now = done();
    if (!now) sleep_on(b, seen, deadline);
    b.sleepers.fetch_sub(1);
    if (now || done()) return true;
    if (deadline != steady::time_point::max() && steady::now() >= deadline) return done();
  }
}

}  // namespace zero::collectives
