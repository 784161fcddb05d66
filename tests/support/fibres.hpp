#pragma once
// Functions that run in one thread by turns, each on a stack of its own: what makes several ranks
// a program whose every step a seed decides.
//
// One thread. Exceptions stay within their fibre; what a function throws out of itself ends it.

#include <ucontext.h>

#include <cstddef>
#include <exception>
#include <functional>

namespace zero::testing {

class fibre {
 public:
  // Runs nothing yet.
  explicit fibre(std::function<void()> body);
  fibre(const fibre&) = delete;
  fibre& operator=(const fibre&) = delete;
  ~fibre();

  // Goes on with it until it calls leave() or ends. Not from within a fibre; not after its end.
  void enter();
  // From within: goes back to whoever entered.
  void leave();

  [[nodiscard]] bool ended() const noexcept { return ended_; }
  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }

 private:
  // What the language keeps for a thread of exceptions that are caught and under way.
  struct exceptions_under_way {
    void* caught = nullptr;
    unsigned int uncaught = 0;
  };
  static void begin(unsigned int high, unsigned int low);
  void run() noexcept;
  void exchange_exceptions() noexcept;
  void to_fibre();
  void to_caller(bool for_good);

  std::function<void()> body_;
  ucontext_t inside_{};
  ucontext_t outside_{};
  void* stack_ = nullptr;
  exceptions_under_way exceptions_;
  std::exception_ptr error_;
  bool ended_ = false;
  // For the address sanitizer.
  void* fake_inside_ = nullptr;
  void* fake_outside_ = nullptr;
  const void* caller_stack_ = nullptr;
  std::size_t caller_bytes_ = 0;
};

}  // namespace zero::testing
