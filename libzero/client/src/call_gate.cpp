#include "call_gate.hpp"

namespace zero::client {

void call_gate::on_error(zero_error_function function, void* user) noexcept {
  const std::lock_guard lock(callback_mutex_);
  callback_ = function;
  callback_user_ = user;
}

// The one that is in may be writing the last message: this one's goes to the callback alone.
zero_status call_gate::refuse_second(const char* call) noexcept {
  zero_message why{};
  try {
    tell(&why, std::string("[client.") + call +
                   "] the handle is in use by another thread, or by the call that is calling back");
  } catch (...) {
    why.text[0] = '\0';  // no memory for it
  }
  call_back(ZERO_BUSY, why.text);
  return ZERO_BUSY;
}

zero_status call_gate::record(const outcome& of) noexcept {
  zero_status status = of.status;
  if (status == ZERO_INVALID && changing_) status = ZERO_FAILURE;
  if (status != ZERO_INVALID && !of.harmless && first_.load() == ZERO_OK) {
    try {
      first_message_ = of.message;
    } catch (...) {
      first_message_.clear();  // no memory for it
    }
    first_.store(status);
    try {
      // Of the other two all ranks are told by what this one was told by.
      if (status != ZERO_DESYNC && status != ZERO_PEER_LOST) on_failure_(of.message);
    } catch (...) {
      // Peers then learn of it by their deadline.
    }
  }
  fail(status, of.message);
  return status;
}

void call_gate::fail(zero_status status, const std::string& message) noexcept {
  tell(&last_, message);
  call_back(status, last_.text);
}

void call_gate::call_back(zero_status status, const char* message) noexcept {
  zero_error_function function = nullptr;
  void* user = nullptr;
  {
    const std::lock_guard lock(callback_mutex_);
    function = callback_;
    user = callback_user_;
  }
  if (function != nullptr) function(user, status, message);
}

}  // namespace zero::client
