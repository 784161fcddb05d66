#pragma once
// sharded_module: whose memory its tensors have, in a forward, after a step, all at once.

#include <zero/torch/sharded_module.hpp>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

#include <utility>

namespace zero::torch {

inline int sharded_module::scope_of(const ::torch::nn::Module& module) const {
  const auto found = found_.scope_of.find(&module);
  return found == found_.scope_of.end() ? -1 : found->second;
}

// ---- memory ----

inline void* sharded_module::memory_of(std::size_t parameter, bool gradient) const {
  void* memory = nullptr;
  const char* const name = found_.parameters[parameter].name.c_str();
  expect(z_, gradient ? zero_gradient(z_, name, 0, &memory) : zero_parameter(z_, name, 0, &memory));
  return memory;
}

inline void sharded_module::expect_ours(std::size_t parameter) const {
  const found_parameter& p = found_.parameters[parameter];
  const tensor_state& t = tensors_[parameter];
  if (p.tensor.storage().unsafeGetStorageImpl() == t.storage.unsafeGetStorageImpl() &&
      (!t.accumulator ||
       ::torch::autograd::impl::try_get_grad_accumulator(p.tensor) == t.accumulator)) {
    return;
  }
  throw_client_error(ZERO_INVALID,
                     "parameter '" + p.name +
                         "' was given other memory (by to(), set_data() or load()) since "
                         "the module was wrapped");
}

inline void sharded_module::expect_all_ours() const {
  for (std::size_t i = 0; i < tensors_.size(); ++i) expect_ours(i);
}

inline void sharded_module::fill_parameter(std::size_t index, void* memory) {
  tensor_state& t = tensors_[index];
  lend(*t.storage.unsafeGetStorageImpl(), memory, t.bytes, device_, this);
}

inline void sharded_module::fill(int index) {
  for (const std::size_t i : unit(index).parameters) {
    expect_ours(i);
    fill_parameter(i, memory_of(i));
  }
}

inline void sharded_module::empty(int index) noexcept {
  for (const std::size_t i : unit(index).parameters) {
    withdraw(*tensors_[i].storage.unsafeGetStorageImpl(), device_, this);
  }
}

// Of a unit that was never entered.
inline void sharded_module::bring_up_to_date(int index) {
  const at::NoGradGuard no_gradient;
  expect(z_, zero_forward_begin(z_, index, stream()));
  for (const std::size_t i : unit(index).parameters) {
    expect_ours(i);
    const at::Tensor to = found_.parameters[i].tensor.detach();
    to.copy_(at::from_blob(memory_of(i), to.sizes(), to.options()));
  }
  expect(z_, zero_forward_end(z_, index, stream()));
}

// ---- forward ----

inline void sharded_module::expect_no_fault() {
  if (!fault_.empty()) throw_client_error(ZERO_INVALID, std::exchange(fault_, {}));
}

inline void sharded_module::note(zero_status status) noexcept {
  if (status != ZERO_OK && fault_.empty()) fault_ = zero_last_error(z_);
}

// Units are gathered ahead for a forward alone, or for a forward and its backward.
inline void sharded_module::begin_kind() {
  const bool evaluate = !at::GradMode::is_enabled();
  if (evaluate == evaluating_) return;
  for (const unit_state& u : units_) {
    if (u.held > 0 || u.in_backward || u.backwards_due > 0) return;  // in the middle of one
  }
  expect(z_, evaluate ? zero_evaluate(z_) : zero_micro_batch(z_, micro_batch_, micro_batches_));
  evaluating_ = evaluate;
}

inline void sharded_module::release_at_once(int scope) {
  if (!comes_and_goes()) return;
  for (const int index : units_in(scope)) forget_own(index);
}

inline void sharded_module::forget_own(int index) {
  if (std::exchange(unit(index).entered_once, true)) return;
  empty(index);
  for (const std::size_t i : unit(index).parameters) tensors_[i].own.clear();
}

inline void sharded_module::enter_unit(int index) {
  unit_state& u = unit(index);
  if (u.held++ > 0 || u.in_backward || u.unpassed) return;
  const zero_status status = zero_forward_begin(z_, index, stream());
  if (status != ZERO_OK) --u.held;
  expect(z_, status);
  try {
    forget_own(index);
    fill(index);
  } catch (...) {
    leave_unit(index);
    throw;
  }
}

inline void sharded_module::enter(int scope) {
  if (!comes_and_goes()) return;
  expect_no_fault();
  begin_kind();
  const std::vector<int>& units = units_in(scope);
  for (std::size_t i = 0; i < units.size(); ++i) {
    try {
      enter_unit(units[i]);
    } catch (...) {
      while (i-- > 0) leave_unit(units[i]);
      throw;
    }
  }
}

inline void sharded_module::leave_unit(int index) noexcept {
  unit_state& u = unit(index);
  if (--u.held > 0 || u.in_backward || u.unpassed) return;
  empty(index);
  note(zero_forward_end(z_, index, stream()));
}

inline void sharded_module::leave(int scope) noexcept {
  if (!comes_and_goes()) return;
  for (const int index : units_in(scope)) leave_unit(index);
}

inline void sharded_module::pass(int scope, passage_end end,
                                 const std::vector<at::Tensor*>& tensors) {
  if (!comes_and_goes() || !at::GradMode::is_enabled()) return;
  if (!put_passage(weak_from_this(), scope, end, tensors) || end == passage_end::inputs) return;
  for (const int index : units_in(scope)) ++unit(index).backwards_due;
}

inline void sharded_module::blame_unpassed(int scope) noexcept {
  if (!comes_and_goes()) return;
  for (const int index : units_in(scope)) {
    unit(index).unpassed = true;
    fault_ = "unit '" + found_.names[static_cast<std::size_t>(index)] +
             "' was left without its output: what the module returns must go through the unit, as "
             "in `return unit(y)`";
  }
}

// ---- steps ----

inline void sharded_module::micro_batch(int index, int count) {
  expect_no_fault();
  expect(z_, zero_micro_batch(z_, index, count));
  micro_batch_ = index;
  micro_batches_ = count;
  evaluating_ = false;
}

inline void sharded_module::stepped() noexcept {
  has_gradients_ = false;
  for (unit_state& u : units_) u.backwards_due = 0;
}

// Autograd refuses a backward through values that are gone, as after an in-place update.
inline void sharded_module::parameters_changed() {
  for (const found_parameter& p : found_.parameters) {
    if (p.tensor.requires_grad()) p.tensor.unsafeGetTensorImpl()->bump_version();
  }
  for (std::size_t u = 0; u < units_.size() && comes_and_goes(); ++u) {
    if (!units_[u].entered_once) bring_up_to_date(static_cast<int>(u));
  }
}

// ---- all parameters ----

inline void sharded_module::fill_all(int where, int access) {
  expect_no_fault();
  expect(z_, zero_full_begin(z_, where, access));
  if (where == ZERO_ON_RANK_0 && zero_rank(z_) != 0) return;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    expect_ours(i);
    fill_parameter(i, memory_of(i));
  }
}

// load() gives tensors other storages and accumulators: their values come to where the library
// looks.
inline void sharded_module::adopt(std::size_t parameter) {
  const at::NoGradGuard no_gradient;
  at::Tensor& tensor = found_.parameters[parameter].tensor;
  tensor_state& t = tensors_[parameter];
  if (tensor.storage().unsafeGetStorageImpl() == t.storage.unsafeGetStorageImpl()) return;
  const at::Tensor home =
      at::empty({0}, tensor.options().requires_grad(false)).set_(t.storage, 0, tensor.sizes(), {});
  home.copy_(tensor.detach());
  tensor.set_data(home);
  listen_to(parameter);
}

inline void sharded_module::empty_all(int where, int access) {
  const bool here = where == ZERO_ON_ALL || zero_rank(z_) == 0;
  for (std::size_t i = 0; i < tensors_.size() && here; ++i) {
    if ((access & ZERO_WRITE) != 0) adopt(i);
    if (!comes_and_goes()) continue;
    tensor_state& t = tensors_[i];
    if (t.own.get() != nullptr) {
      fill_parameter(i, t.own.get());
    } else {
      withdraw(*t.storage.unsafeGetStorageImpl(), device_, this);
    }
  }
  expect(z_, zero_full_end(z_));
  if ((access & ZERO_WRITE) != 0) parameters_changed();
  if (!comes_and_goes()) {
    for (std::size_t u = 0; u < units_.size(); ++u) fill(static_cast<int>(u));
  }
}

}  // namespace zero::torch
