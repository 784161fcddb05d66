#pragma once
// sharded_module: what autograd tells it of a backward. At stage 3 a unit is gathered when the
// backward comes to its outputs. It ends when its last gradient has arrived, else when the backward
// comes to its inputs, else when the backward ends.

#include <zero/torch/sharded_module.hpp>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/engine.h>

#include <utility>

namespace zero::torch {

// Gradients can still come until the unit has ended or the backward has.
inline void sharded_module::expect_gradients(int index) {
  unit_state& u = unit(index);
  if (!std::exchange(backward_runs_, true)) {
    ::torch::autograd::Engine::get_default_engine().queue_callback(
        [weak = std::weak_ptr<sharded_module>(shared_from_this())] {
          if (const auto self = weak.lock()) static_cast<void>(self->settle());
        });
  }
  evaluating_ = false;
  if (std::exchange(u.in_backward, true)) return;
  u.missing = 0;
  for (const std::size_t i : u.parameters) {
    if (found_.parameters[i].tensor.requires_grad()) ++u.missing;
  }
}

inline void sharded_module::begin_backward(int index) {
  unit_state& u = unit(index);
  if (u.in_backward) return;
  expect(z_, zero_backward_begin(z_, index, stream()));
  expect_gradients(index);
  if (u.entered_once && u.held == 0 && !u.unpassed) fill(index);
}

// Below stage 3 the library has room for one unit's gradients or two, and hears of a unit when all
// of its gradients are there; until then they are where autograd put them.
inline void sharded_module::end_backward(int index) {
  unit_state& u = unit(index);
  u.in_backward = u.unpassed = false;
  u.backwards_due = 0;
  has_gradients_ = true;
  if (comes_and_goes()) {
    if (u.entered_once && u.held == 0) empty(index);
  } else {
    expect(z_, zero_backward_begin(z_, index, stream()));
  }
  for (const std::size_t i : u.parameters) {
    if (std::exchange(tensors_[i].arrived, false) && !comes_and_goes()) take_gradient(i, true);
  }
  expect(z_, zero_backward_end(z_, index, stream()));
}

inline void sharded_module::backward_enters(int scope) {
  for (const int index : units_in(scope)) begin_backward(index);
}

inline void sharded_module::backward_dropped(int scope) noexcept {
  for (const int index : units_in(scope)) {
    unit_state& u = unit(index);
    if (!u.in_backward && u.backwards_due > 0) --u.backwards_due;
  }
}

// What is still missing then is of parameters that took no part.
inline void sharded_module::backward_leaves(int scope) {
  for (const int index : units_in(scope)) {
    unit_state& u = unit(index);
    if (u.in_backward && --u.backwards_due <= 0) end_backward(index);
  }
}

inline void sharded_module::take_gradient(std::size_t parameter, bool first) {
  const at::NoGradGuard no_gradient;
  const at::Tensor& tensor = found_.parameters[parameter].tensor;
  expect_ours(parameter);
  const at::Tensor to = at::from_blob(memory_of(parameter, true), tensor.sizes(),
                                      tensor.options().requires_grad(false));
  at::Tensor& gradient = tensor.mutable_grad();
  const at::Tensor from = gradient.is_sparse() ? gradient.to_dense() : gradient;
  // At the boundary there is what earlier micro-batches left.
  const bool nothing_there = first && config_.reduce_at == ZERO_EVERY_MICRO_BATCH;
  nothing_there ? to.copy_(from) : to.add_(from);
  gradient = at::Tensor();
}

// A trainable parameter's gradient comes after the last use of its values. A frozen one's last use
// is not seen here.
inline void sharded_module::gradient_arrives(std::size_t parameter) {
  const int index = found_.parameters[parameter].unit;
  unit_state& u = unit(index);
  comes_and_goes() ? begin_backward(index) : expect_gradients(index);
  const bool first = !std::exchange(tensors_[parameter].arrived, true);
  if (comes_and_goes()) take_gradient(parameter, first);
  if (!first) return;
  if (--u.missing == 0 && !(comes_and_goes() && u.has_frozen)) end_backward(index);
}

inline bool sharded_module::settle() {
  if (!std::exchange(backward_runs_, false)) return false;
  for (std::size_t u = units_.size(); u-- > 0;) {
    if (units_[u].in_backward) end_backward(static_cast<int>(u));
  }
  return true;
}

}  // namespace zero::torch
