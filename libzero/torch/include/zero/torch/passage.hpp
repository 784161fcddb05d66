#pragma once
// passage: where a backward enters and leaves a unit and where its gradients arrive, as autograd
// tells it. One node at a unit's outputs, one at its inputs, one hook behind each accumulator.
//
// Nodes of one graph run in the reverse order in which the forward made them, so between the two
// nodes of a unit all of its own have run. A graph may outlive whoever listens.

#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace zero::torch {

class passage_listener {
 public:
  virtual void backward_enters(int scope) = 0;
  virtual void backward_leaves(int scope) = 0;
  // A graph has gone whose backward never came to the unit.
  virtual void backward_dropped(int scope) noexcept = 0;
  virtual void gradient_arrives(std::size_t parameter) = 0;

 protected:
  ~passage_listener() = default;
};

enum class passage_end : unsigned char { inputs, outputs };

// Hands gradients through as they are.
class passage_node final : public ::torch::autograd::Node {
 public:
  passage_node(std::weak_ptr<passage_listener> listener, int scope, passage_end end,
               ::torch::autograd::edge_list edges)
      : Node(std::move(edges)), listener_(std::move(listener)), scope_(scope), end_(end) {}

  passage_node(const passage_node&) = delete;
  passage_node& operator=(const passage_node&) = delete;
  ~passage_node() override {
    if (reached_ || end_ != passage_end::outputs) return;
    if (const std::shared_ptr<passage_listener> listener = listener_.lock()) {
      listener->backward_dropped(scope_);
    }
  }

  ::torch::autograd::variable_list apply(::torch::autograd::variable_list&& gradients) override {
    reached_ = true;
    if (const std::shared_ptr<passage_listener> listener = listener_.lock()) {
      end_ == passage_end::outputs ? listener->backward_enters(scope_)
                                   : listener->backward_leaves(scope_);
    }
    return std::move(gradients);
  }

 private:
  std::weak_ptr<passage_listener> listener_;
  int scope_;
  passage_end end_;
  bool reached_ = false;
};

// Puts one node behind all of `tensors` that have gradients, in place: same storage, same version.
// False where none has.
inline bool put_passage(const std::weak_ptr<passage_listener>& listener, int scope, passage_end end,
                        const std::vector<at::Tensor*>& tensors) {
  std::vector<at::Tensor*> differentiable;
  ::torch::autograd::edge_list edges;
  for (at::Tensor* tensor : tensors) {
    if (!tensor->defined() || !tensor->requires_grad()) continue;
    differentiable.push_back(tensor);
    edges.push_back(::torch::autograd::impl::gradient_edge(*tensor));
  }
  if (differentiable.empty()) return false;
  const std::shared_ptr<passage_node> node(new passage_node(listener, scope, end, std::move(edges)),
                                           ::torch::autograd::deleteNode);
  for (at::Tensor* tensor : differentiable) {
    at::Tensor same = tensor->detach();
    ::torch::autograd::set_history(same, node);
    *tensor = std::move(same);
  }
  return true;
}

// Runs once in each backward that reaches the parameter, when .grad has all of its contributions.
class arrival_hook final : public ::torch::autograd::FunctionPostHook {
 public:
  arrival_hook(std::weak_ptr<passage_listener> listener, std::size_t parameter)
      : listener_(std::move(listener)), parameter_(parameter) {}

  ::torch::autograd::variable_list operator()(
      const ::torch::autograd::variable_list& outputs,
      const ::torch::autograd::variable_list& /*inputs*/) override {
    if (const std::shared_ptr<passage_listener> listener = listener_.lock()) {
      listener->gradient_arrives(parameter_);
    }
    return outputs;
  }

 private:
  std::weak_ptr<passage_listener> listener_;
  std::size_t parameter_;
};

}  // namespace zero::torch
