#pragma once
// call_gate: what stands before every call of a handle. One thread is let in at a time; what a call
// throws becomes its status; what is not the caller's own mistake, nor harmless, poisons the
// handle.
//
// Thread-safe. A callback of the client that calls the library again is a second one, too.

#include "outcome.hpp"

#include <zero/status.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

namespace zero::client {

class call_gate {
 public:
  // Called with what poisoned the handle where the other ranks cannot know of it.
  using failure_function = std::function<void(const std::string&)>;
  explicit call_gate(failure_function on_failure) : on_failure_(std::move(on_failure)) {}

  void on_error(zero_error_function function, void* user) noexcept;

  // Whose status is whatever `work` throws. Poisoned: the first error again.
  template <typename Work>
  [[nodiscard]] zero_status enter(const char* call, Work&& work) noexcept {
    return run(call, ask::while_whole, std::forward<Work>(work));
  }
  // The same for questions, which a poisoned handle answers still.
  template <typename Work>
  [[nodiscard]] zero_status question(const char* call, Work&& work) noexcept {
    return run(call, ask::always, std::forward<Work>(work));
  }

  // From here on the call at hand changes something: whatever it throws poisons.
  void changes() noexcept { changing_ = true; }
  // Nobody may be in, and nobody comes in any more. False where somebody is.
  [[nodiscard]] bool close() noexcept { return !busy_.exchange(true); }

  [[nodiscard]] zero_status first_error() const noexcept { return first_.load(); }
  [[nodiscard]] const char* last_message() const noexcept { return last_.text; }

 private:
  enum class ask : unsigned char { while_whole, always };
  template <typename Work>
  zero_status run(const char* call, ask when, Work&& work) noexcept {
    if (busy_.exchange(true)) return refuse_second(call);
    changing_ = false;
    zero_status status = first_.load();
    if (status != ZERO_OK && when == ask::while_whole) {
      fail(status, first_message_);
    } else {
      try {
        std::forward<Work>(work)();
        status = ZERO_OK;
      } catch (...) {
        status = record(caught());
      }
    }
    busy_.store(false);
    return status;
  }
  zero_status refuse_second(const char* call) noexcept;
  zero_status record(const outcome& of) noexcept;
  void fail(zero_status status, const std::string& message) noexcept;
  void call_back(zero_status status, const char* message) noexcept;

  failure_function on_failure_;
  std::atomic<bool> busy_{false};
  bool changing_ = false;  // of the call at hand
  std::atomic<zero_status> first_{ZERO_OK};
  std::string first_message_;
  zero_message last_{};
  std::mutex callback_mutex_;
  zero_error_function callback_ = nullptr;
  void* callback_user_ = nullptr;
};

}  // namespace zero::client
