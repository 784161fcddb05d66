#pragma once
/**
 * @file
 * What an optimizer and its scopes share.
 */

#include <zero/client_error.hpp>
#include <zero/zero.h>

#include <exception>
#include <utility>

#pragma GCC visibility push(default)
namespace zero::detail {

/** A handle that an optimizer and the scopes it has given out share; closed with the optimizer. */
class open_handle {
 public:
  explicit open_handle(zero_optimizer* z) noexcept : z_(z) {}
  open_handle(const open_handle&) = delete;
  open_handle& operator=(const open_handle&) = delete;
  ~open_handle() { static_cast<void>(close()); }

  [[nodiscard]] zero_optimizer* get() const noexcept { return z_; }
  zero_status close() noexcept {
    return z_ == nullptr ? ZERO_OK : zero_close(std::exchange(z_, nullptr));
  }
  /** Throws what a destructor has kept, then what the call came to. */
  void expect(zero_status status) {
    throw_kept();
    if (z_ == nullptr) throw_client_error(ZERO_INVALID, "[client] the optimizer has been closed");
    if (status != ZERO_OK) throw_now(status);
  }
  void throw_kept() {
    if (kept_) std::rethrow_exception(std::exchange(kept_, nullptr));
  }
  /** For destructors: the first one stays until throw_kept. */
  void keep(zero_status status) noexcept {
    if (status == ZERO_OK || kept_) return;
    try {
      throw_now(status);
    } catch (...) {
      kept_ = std::current_exception();
    }
  }

 private:
  [[noreturn]] void throw_now(zero_status status) const {
    throw_client_error(status, zero_last_error(z_), zero_first_error(z_) != ZERO_OK);
  }

  zero_optimizer* z_;
  std::exception_ptr kept_;
};

}  // namespace zero::detail
#pragma GCC visibility pop
