#pragma once
/**
 * @file
 * zero::update_range: what an update rule or a look of the trainer's own is shown.
 */

#include <zero/base/span.hpp>
#include <zero/client_error.hpp>
#include <zero/state.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

#pragma GCC visibility push(default)
namespace zero {

/** A run of elements of one slice of one segment that this rank updates. Valid during the call. */
class update_range {
 public:
  explicit update_range(const zero_update_range& raw) noexcept : raw_(&raw) {}

  [[nodiscard]] std::string_view name() const noexcept { return raw_->name; }
  [[nodiscard]] int slice() const noexcept { return raw_->slice; }
  [[nodiscard]] int group() const noexcept { return raw_->group; }
  /** Of the first element, in the slice. */
  [[nodiscard]] std::size_t offset() const noexcept {
    return static_cast<std::size_t>(raw_->offset);
  }
  [[nodiscard]] std::size_t count() const noexcept { return static_cast<std::size_t>(raw_->count); }
  /** Of this update, from 1. */
  [[nodiscard]] std::uint64_t step() const noexcept { return raw_->step; }
  /** With the group's factor. */
  [[nodiscard]] double learning_rate() const noexcept { return raw_->learning_rate; }

  [[nodiscard]] span<float> master() const noexcept { return {raw_->master, count()}; }
  /** Of the rule, then the extra ones; index below states(). */
  [[nodiscard]] span<float> state(int index) const noexcept {
    return {raw_->states[index], count()};
  }
  [[nodiscard]] int states() const noexcept { return raw_->state_count; }
  [[nodiscard]] bool has_gradient() const noexcept { return raw_->gradient != nullptr; }
  /** Reduced, unscaled and clipped. Throws refused_call unless there is one, in fp32. */
  [[nodiscard]] span<const float> gradient() const {
    if (!has_gradient() || raw_->gradient_dtype != ZERO_FP32) {
      throw_client_error(ZERO_INVALID, "'" + std::string(name()) +
                                           (has_gradient() ? "' has gradients in 16 bits: see raw()"
                                                           : "' has no gradient outside a step"));
    }
    return {static_cast<const float*>(raw_->gradient), count()};
  }
  /** Pointers are a GPU's: work is queued on stream(). */
  [[nodiscard]] bool on_device() const noexcept { return raw_->on_device != 0; }
  [[nodiscard]] void* stream() const noexcept { return raw_->stream; }
  [[nodiscard]] const zero_update_range& raw() const noexcept { return *raw_; }

 private:
  const zero_update_range* raw_;
};

namespace detail {

/** Carries what a function of the trainer throws through the C interface. */
template <typename Function>
class carried {
 public:
  explicit carried(Function& function) noexcept : function_(&function) {}
  carried(const carried&) = delete;
  carried& operator=(const carried&) = delete;

  static int call(void* user, const zero_update_range* range) noexcept {
    auto* const self = static_cast<carried*>(user);
    try {
      (*self->function_)(update_range(*range));
      return 0;
    } catch (...) {
      self->thrown_ = std::current_exception();
      return 1;
    }
  }
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  Function* function_;
  std::exception_ptr thrown_;
};

}  // namespace detail
}  // namespace zero
#pragma GCC visibility pop
