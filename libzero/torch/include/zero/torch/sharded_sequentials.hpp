#pragma once
// sharded_sequentials: children of nn::Sequential that are units enter them by themselves: another
// module is called in their place. Names, children and parameters of the Sequential stay.

#include <zero/torch/use.hpp>

#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace zero::torch {

class sharded_sequentials {
 public:
  sharded_sequentials() = default;
  // At stage 3; below, nothing is replaced.
  sharded_sequentials(::torch::nn::Module& root, const std::shared_ptr<sharded_module>& owner) {
    if (!owner->comes_and_goes()) return;
    replace_in(root, owner);
    for (const auto& child : root.modules(false)) replace_in(*child, owner);
  }
  sharded_sequentials(sharded_sequentials&&) noexcept = default;
  sharded_sequentials& operator=(sharded_sequentials&& other) noexcept {
    std::swap(replaced_, other.replaced_);
    return *this;
  }
  // Puts the children back.
  ~sharded_sequentials() {
    for (replaced& r : replaced_) *(r.sequential->begin() + r.index) = std::move(r.child);
  }

 private:
  struct replaced {
    ::torch::nn::SequentialImpl* sequential;
    std::ptrdiff_t index;
    ::torch::nn::AnyModule child;
  };

  void replace_in(::torch::nn::Module& module, const std::shared_ptr<sharded_module>& owner) {
    auto* const sequential = module.as<::torch::nn::SequentialImpl>();
    if (sequential == nullptr) return;
    const int own = owner->scope_of(module);
    for (auto at = sequential->begin(); at != sequential->end(); ++at) {
      const int scope = owner->scope_of(*at->ptr());
      if (scope == own || owner->is_bare(scope)) continue;  // no unit of its own
      replaced_.push_back({sequential, at - sequential->begin(), std::move(*at)});
      *at = ::torch::nn::AnyModule(
          std::make_shared<entered_child>(owner, scope, replaced_.back().child));
      owner->release_at_once(scope);
    }
  }

  std::vector<replaced> replaced_;
};

}  // namespace zero::torch
