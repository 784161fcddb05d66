#pragma once
// signal_watch: SIGINT, SIGTERM, SIGHUP and SIGCHLD as something to poll for.
//
// While it lives, the signals are blocked in the calling thread and read from descriptor(). One
// per process at a time. Whoever forks restores original_mask() in the child.

#include <signal.h>

#include <optional>

namespace zero::cli {

class signal_watch {
 public:
  // SIGHUP is left alone where it is ignored, as under nohup. Throws io_error.
  signal_watch();
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;
  // Signals not yet taken keep waiting and take their ordinary effect now.
  ~signal_watch();

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] const sigset_t& original_mask() const noexcept { return original_mask_; }

  // Reads what has arrived, without blocking. SIGINT, SIGTERM or SIGHUP if one is among it.
  [[nodiscard]] std::optional<int> take() noexcept;

 private:
  sigset_t original_mask_{};
  struct sigaction original_child_action_ {};
  int descriptor_ = -1;
};

}  // namespace zero::cli
