#pragma once
// poll: waits for something that can only be asked about, as a device's events are.
//
// Thread-safe; nothing is kept.

#include <algorithm>
#include <chrono>
#include <thread>

namespace zero::collectives {

// Asks until done() or for `patience`; returns the last answer. First at once again, then letting
// others run, then sleeping for up to 50 microseconds in between.
template <typename Done>
bool poll(Done done, std::chrono::steady_clock::duration patience) {
  using namespace std::chrono_literals;
  const auto begin = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration nap = 2us;
  for (;;) {
    if (done()) return true;
    const auto waited = std::chrono::steady_clock::now() - begin;
    if (waited >= patience) return done();
    if (waited < 20us) continue;
    if (waited < 100us) {
      std::this_thread::yield();
      continue;
    }
    std::this_thread::sleep_for(nap);
    nap = std::min<std::chrono::steady_clock::duration>(2 * nap, 50us);
  }
}

}  // namespace zero::collectives
