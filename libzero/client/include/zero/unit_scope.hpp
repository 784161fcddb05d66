#pragma once
/**
 * @file
 * Scopes in which parameters or gradients are whole. They end when they are left.
 */

#include <zero/open_handle.hpp>
#include <zero/zero.h>

#include <exception>
#include <memory>
#include <utility>

#pragma GCC visibility push(default)
namespace zero {

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
