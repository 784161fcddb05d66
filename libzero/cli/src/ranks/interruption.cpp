#include "ranks/interruption.hpp"

#include <atomic>

namespace zero::cli {
namespace {

// What a signal handler may touch must be static.
std::atomic<int> arrived_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note(int signal) { arrived_signal = signal; }

}  // namespace

interruption::interruption() noexcept {
  arrived_signal = 0;
  struct sigaction noting {};
  noting.sa_handler = note;
  noting.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < signals_.size(); ++i) {
    sigaction(signals_[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) sigaction(signals_[i], &noting, nullptr);
  }
}

interruption::~interruption() {
  for (std::size_t i = 0; i < signals_.size(); ++i) sigaction(signals_[i], &before_[i], nullptr);
  if (arrived()) raise(arrived_signal);
}

bool interruption::arrived() noexcept { return arrived_signal != 0; }

}  // namespace zero::cli
