#include "ranks/signal_watch.hpp"

#include <zero/base/error.hpp>

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace zero::cli {

signal_watch::signal_watch() {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&watched, signal);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaddset(&watched, SIGHUP);

  descriptor_ = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor_ < 0) throw io_error("signalfd", "", errno);
  // An ignored SIGCHLD would make children vanish before anyone can ask how they ended.
  struct sigaction default_action {};
  default_action.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &default_action, &original_child_action_);
  pthread_sigmask(SIG_BLOCK, &watched, &original_mask_);
}

signal_watch::~signal_watch() {
  sigaction(SIGCHLD, &original_child_action_, nullptr);
  pthread_sigmask(SIG_SETMASK, &original_mask_, nullptr);
  close(descriptor_);
}

std::optional<int> signal_watch::take() noexcept {
  std::optional<int> result;
  signalfd_siginfo arrived{};
  while (read(descriptor_, &arrived, sizeof arrived) == sizeof arrived) {
    const auto signal = static_cast<int>(arrived.ssi_signo);
    if (signal != SIGCHLD) result = signal;
  }
  return result;
}

}  // namespace zero::cli
