#pragma once
// patience: how a thread waits for something it can only ask about. First it asks again at once,
// then it lets others run, then it sleeps for longer and longer, up to a tenth of a millisecond.
//
// One thread.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

namespace zero::cuda {

class patience {
 public:
  // Ends `milliseconds` from now; 0 or less: at the first pause.
  explicit patience(std::int64_t milliseconds) noexcept
      : milliseconds_(milliseconds), start_(clock::now()) {}

  // Waits a little. False, at once, when the time is over.
  [[nodiscard]] bool pause() {
    const auto waited = clock::now() - start_;
    if (waited >= std::chrono::milliseconds(milliseconds_)) return false;
    if (waited < std::chrono::microseconds(50)) return true;
    if (waited < std::chrono::microseconds(200)) {
      std::this_thread::yield();
      return true;
    }
    std::this_thread::sleep_for(nap_);
    nap_ = std::min(2 * nap_, std::chrono::microseconds(100));
    return true;
  }
  [[nodiscard]] std::int64_t milliseconds() const noexcept { return milliseconds_; }

 private:
  using clock = std::chrono::steady_clock;
  std::int64_t milliseconds_;
  clock::time_point start_;
  std::chrono::microseconds nap_{5};
};

}  // namespace zero::cuda
