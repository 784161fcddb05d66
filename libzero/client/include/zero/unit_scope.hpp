#pragma once
/**
 * @file
 * Scopes in which parameters or gradients are whole. They end when they are left.
 */

#include <zero/client_error.hpp>
#include <zero/zero.h>

#include <exception>
#include <memory>
#include <utility>

#pragma GCC visibility push(default)
namespace zero {
namespace detail {

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

}  // namespace detail

/** From optimizer::forward, backward or full until end() or until it is destroyed; then an error is
 *  thrown by the next call of the optimizer. A backward that is left by an exception has gradients
 *  that are not final: then all ranks leave the next step out. Move-only. */
class [[nodiscard]] unit_scope {
 public:
  enum class kind : unsigned char { forward, backward, full };

  unit_scope(std::shared_ptr<detail::open_handle> of, kind what, int unit, void* stream) noexcept
      : of_(std::move(of)),
        kind_(what),
        unit_(unit),
        stream_(stream),
        exceptions_(std::uncaught_exceptions()) {}
  unit_scope(unit_scope&&) noexcept = default;
  unit_scope& operator=(unit_scope&&) = delete;
  ~unit_scope() {
    const std::shared_ptr<detail::open_handle> of = std::move(of_);
    if (!of || of->get() == nullptr) return;
    const bool unwinding = std::uncaught_exceptions() > exceptions_;
    if (unwinding && kind_ == kind::backward) of->keep(zero_skip(of->get()));
    of->keep(ended(*of));
  }

  /** Throws client_error. The scope has ended then, too. */
  void end() {
    const std::shared_ptr<detail::open_handle> of = std::move(of_);
    if (of && of->get() != nullptr) of->expect(ended(*of));
  }

 private:
  [[nodiscard]] zero_status ended(const detail::open_handle& of) const noexcept {
    switch (kind_) {
      case kind::forward:
        return zero_forward_end(of.get(), unit_, stream_);
      case kind::backward:
        return zero_backward_end(of.get(), unit_, stream_);
      case kind::full:
        break;
    }
    return zero_full_end(of.get());
  }

  std::shared_ptr<detail::open_handle> of_;
  kind kind_;
  int unit_;
  void* stream_;
  int exceptions_;
};

}  // namespace zero
#pragma GCC visibility pop
