#pragma once
/**
 * @file
 * What the C++ interface throws. C++17, header-only over the C interface: nothing here needs a
 * library that was built by the same compiler.
 */

#include <zero/status.h>

#include <stdexcept>
#include <string>

#pragma GCC visibility push(default)
namespace zero {

/** A call of the library failed. Immutable; safe to copy between threads. */
class client_error : public std::runtime_error {
 public:
  client_error(zero_status status, const std::string& message, bool poisoned)
      : std::runtime_error(message.empty() ? zero_status_name(status) : message),
        status_(status),
        poisoned_(poisoned) {}
  /** ZERO_FAILURE, ZERO_INVALID, ... */
  [[nodiscard]] zero_status status() const noexcept { return status_; }
  /** Every later call of the optimizer gives its first error again. */
  [[nodiscard]] bool poisoned() const noexcept { return poisoned_; }

 private:
  zero_status status_;
  bool poisoned_;
};

/** ZERO_INVALID and ZERO_BUSY: the arguments or the place of the call; nothing has changed. */
class refused_call : public client_error {
  using client_error::client_error;
};
/** ZERO_PEER_LOST: a rank died or did not answer before the deadline. */
class lost_peer : public client_error {
  using client_error::client_error;
};
/** ZERO_DESYNC: ranks are doing different things. */
class ranks_differ : public client_error {
  using client_error::client_error;
};
/** ZERO_CORRUPT: bytes are not what was written. */
class corrupt_bytes : public client_error {
  using client_error::client_error;
};
/** ZERO_RESOURCE: out of memory, budget, disk or descriptors. */
class out_of_resource : public client_error {
  using client_error::client_error;
};

/** Throws the class that belongs to `status`, which is not ZERO_OK. */
[[noreturn]] inline void throw_client_error(zero_status status, const std::string& message,
                                            bool poisoned = false) {
  switch (status) {
    case ZERO_INVALID:
    case ZERO_BUSY:
      throw refused_call(status, message, poisoned);
    case ZERO_PEER_LOST:
      throw lost_peer(status, message, poisoned);
    case ZERO_DESYNC:
      throw ranks_differ(status, message, poisoned);
    case ZERO_CORRUPT:
      throw corrupt_bytes(status, message, poisoned);
    case ZERO_RESOURCE:
      throw out_of_resource(status, message, poisoned);
    default:
      throw client_error(status, message, poisoned);
  }
}

/** For calls that give their message apart. */
inline void expect_ok(zero_status status, const zero_message& why) {
  if (status != ZERO_OK) throw_client_error(status, why.text);
}

}  // namespace zero
#pragma GCC visibility pop
