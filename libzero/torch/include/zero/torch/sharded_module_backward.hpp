#pragma once
// sharded_module: what autograd tells it of a backward. A unit is gathered when the backward comes
// to its outputs, or below stage 3 when its first gradient arrives; it ends when its last gradient
// has arrived, else when the backward comes to its inputs, else when the backward ends.

#include <zero/torch/sharded_module.hpp>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/engine.h>

#include <utility>

namespace zero::torch {

inline void sharded_module::begin_backward(int index) {
  unit_state& u = unit(index);
  if (u.in_backward) return;
  if (!std::exchange(backward_runs_, true)) {
    ::torch::autograd::Engine::get_default_engine().queue_callback(
        [weak = std::weak_ptr<sharded_module>(shared_from_this())] {
          if (const auto self = weak.lock()) static_cast<void>(self->settle());
        });
  }
  evaluating_ = false;
  expect(z_, zero_backward_begin(z_, index, stream()));
  u.in_backward = true;
  u.missing = 0;
  for (const std::size_t i : u.parameters) {
    if (found_.parameters[i].tensor.requires_grad()) ++u.missing;
  }
  if (comes_and_goes() && u.entered_once && u.held == 0 && !u.unpassed) fill(index);
}

inline void sharded_module::end_backward(int index) {
  unit_state& u = unit(index);
  for (const std::size_t i : u.parameters) tensors_[i].arrived = false;
  u.in_backward = u.unpassed = false;
  has_gradients_ = true;
  u.backwards_due = 0;
  if (comes_and_goes() && u.entered_once && u.held == 0) empty(index);
  expect(z_, zero_backward_end(z_, index, stream()));
}

inline void sharded_module::backward_enters(int scope) {
  for (const int index : units_in(scope)) begin_backward(index);
}

// What is still missing then is of parameters that took no part.
inline void sharded_module::backward_leaves(int scope) {
  for (const int index : units_in(scope)) {
    unit_state& u = unit(index);
    if (u.in_backward && --u.backwards_due <= 0) end_backward(index);
  }
}

inline void sharded_module::take_gradient(std::size_t parameter) {
  const at::NoGradGuard no_gradient;
  const at::Tensor& tensor = found_.parameters[parameter].tensor;
  expect_ours(parameter);
  const at::Tensor to = at::from_blob(memory_of(parameter, true), tensor.sizes(),
                                      tensor.options().requires_grad(false));
  at::Tensor& gradient = tensor.mutable_grad();
  const at::Tensor from = gradient.is_sparse() ? gradient.to_dense() : gradient;
  tensors_[parameter].arrived ? to.add_(from) : to.copy_(from);
  gradient = at::Tensor();
}

// A trainable parameter's gradient comes after the last use of its values. A frozen one's last use
// is not seen here.
inline void sharded_module::gradient_arrives(std::size_t parameter) {
  const int index = found_.parameters[parameter].unit;
  unit_state& u = unit(index);
  begin_backward(index);
  take_gradient(parameter);
  if (std::exchange(tensors_[parameter].arrived, true)) return;
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
