#pragma once
/**
 * @file
 * How exceptions of a trainer's function cross the C interface.
 */

#include <zero/update_range.hpp>

#include <exception>

#pragma GCC visibility push(default)
namespace zero::detail {

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

}  // namespace zero::detail
#pragma GCC visibility pop
