#pragma once
// use: the one line a block needs at stage 3. In the block itself,
//
//     torch::Tensor forward(torch::Tensor x) {
//       auto unit = zero::torch::use(*this, x);
//       ...
//       return unit(y);
//     }
//
// or where it is called: `x = zero::torch::call(block, x)`. In a module that was not wrapped, and
// below stage 3, neither does anything.

#include <zero/torch/sharded_module.hpp>

#include <torch/nn/module.h>
#include <torch/nn/modules/container/any.h>

#include <exception>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace zero::torch {

// Tensors of an argument or a result; what else there is has none.
inline void add_tensors(at::Tensor& tensor, std::vector<at::Tensor*>& to) { to.push_back(&tensor); }
inline void add_tensors(std::vector<at::Tensor>& tensors, std::vector<at::Tensor*>& to) {
  for (at::Tensor& tensor : tensors) to.push_back(&tensor);
}
template <class T>
void add_tensors(T& /*other*/, std::vector<at::Tensor*>& /*to*/) {}
template <class... T>
void add_tensors(std::tuple<T...>& tuple, std::vector<at::Tensor*>& to) {
  std::apply([&](auto&... one) { (add_tensors(one, to), ...); }, tuple);
}

// The parameters of a module are whole until this goes out of scope.
class [[nodiscard]] module_use {
 public:
  // `inputs`: a backward that comes to them has left the module.
  template <class... Inputs>
  module_use(sharded_module* owner, int scope, Inputs&... inputs)
      : owner_(scope < 0 ? nullptr : owner), scope_(scope) {
    if (owner_ == nullptr) return;
    std::vector<at::Tensor*> tensors;
    (add_tensors(inputs, tensors), ...);
    owner_->enter(scope_);
    try {
      owner_->pass(scope_, passage_end::inputs, tensors);
    } catch (...) {
      owner_->leave(scope_);
      throw;
    }
  }
  module_use(const module_use&) = delete;
  module_use& operator=(const module_use&) = delete;
  ~module_use() {
    if (owner_ == nullptr) return;
    const bool thrown = std::uncaught_exceptions() > exceptions_;
    if (!passed_ && !thrown && at::GradMode::is_enabled()) owner_->blame_unpassed(scope_);
    owner_->leave(scope_);
  }

  // What the module returns: its backward is where the parameters are needed again.
  template <class Result>
  [[nodiscard]] Result operator()(Result result) {
    std::vector<at::Tensor*> tensors;
    add_tensors(result, tensors);
    passed_ = true;
    if (owner_ != nullptr) owner_->pass(scope_, passage_end::outputs, tensors);
    return result;
  }

 private:
  sharded_module* owner_;
  int scope_;
  int exceptions_ = std::uncaught_exceptions();
  bool passed_ = false;
};

// Who has the parameters of the module; nullptr where it has none or was not wrapped.
inline sharded_module* owner_of(const ::torch::nn::Module& module) {
  for (const auto& p : module.named_parameters(false)) {
    if (!p.value().defined()) continue;
    if (auto* owner = lender_of<sharded_module>(p.value().storage())) return owner;
  }
  for (const auto& child : module.named_children()) {
    if (auto* owner = owner_of(*child.value())) return owner;
  }
  return nullptr;
}

// Gathers the module's unit. `inputs` are replaced by themselves with a mark for the backward;
// give all tensors that the module takes, by value.
template <class... Inputs>
module_use use(const ::torch::nn::Module& module, Inputs&... inputs) {
  sharded_module* const owner = owner_of(module);
  return module_use(owner, owner == nullptr ? -1 : owner->scope_of(module), inputs...);
}

// module->forward(arguments...), in a unit of the module's.
template <class Module, class... Arguments>
auto call(Module&& module, Arguments... arguments) {
  auto unit = use(*module, arguments...);
  return unit(module->forward(std::move(arguments)...));
}

// Stands in the place of a child of nn::Sequential.
class entered_child final : public ::torch::nn::Module {
 public:
  entered_child(std::weak_ptr<sharded_module> owner, int scope, ::torch::nn::AnyModule child)
      : owner_(std::move(owner)), scope_(scope), child_(std::move(child)) {}

  at::Tensor forward(at::Tensor x) {
    const std::shared_ptr<sharded_module> owner = owner_.lock();
    module_use unit(owner.get(), scope_, x);
    return unit(child_.forward<at::Tensor>(std::move(x)));
  }
  [[nodiscard]] const ::torch::nn::AnyModule& child() const noexcept { return child_; }

 private:
  std::weak_ptr<sharded_module> owner_;
  int scope_;
  ::torch::nn::AnyModule child_;
};

}  // namespace zero::torch
