#pragma once
// outcome: from exceptions to the statuses and messages of the C interface. Thread-safe.

#include <zero/base/error.hpp>
#include <zero/status.h>

#include <exception>
#include <string>
#include <utility>

namespace zero::client {

struct outcome {
  zero_status status = ZERO_OK;
  std::string message;
  bool harmless = false;  // all is as it was
};

// What failed has changed nothing, on any rank, and all ranks were told.
class harmless final : public error {
 public:
  using error::error;
};

// A function of the client returned something else than 0, or threw.
class callback_failed final : public error {
 public:
  callback_failed(const std::string& what, int result)
      : error(what + " returned " + std::to_string(result)) {}
  callback_failed(const std::string& what, const std::string& thrown)
      : error(what + " threw " + thrown) {}
};

// What is being thrown now; never throws. To be called in a catch block.
[[nodiscard]] outcome caught() noexcept;

// Puts as much of the text there as fits; `why` may be null.
void tell(zero_message* why, const std::string& text) noexcept;

// Runs `work`; whatever it throws becomes a status, and a message in `why`.
template <typename Work>
[[nodiscard]] zero_status guarded(zero_message* why, Work&& work) noexcept {
  tell(why, {});
  try {
    std::forward<Work>(work)();
    return ZERO_OK;
  } catch (...) {
    const outcome of = caught();
    tell(why, of.message);
    return of.status;
  }
}

}  // namespace zero::client
