#pragma once
// units: which tensors of a module are gathered together. A module is a unit of its own if
// `is_block` says so and it lies in no other one; what is left is the unit of the root. A tensor
// that is registered twice is one parameter, of the unit it was found in first.
//
// Pure; the same on every rank for modules built alike.

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace zero::torch {

// Whether `child`, whose full name is `name`, is a unit of its own.
using block_function = std::function<bool(const std::string& name, const ::torch::nn::Module& child,
                                          const ::torch::nn::Module& parent)>;

// What containers hold, one by one.
inline bool lies_in_container(const std::string& /*name*/, const ::torch::nn::Module& /*child*/,
                              const ::torch::nn::Module& parent) {
  return parent.as<::torch::nn::SequentialImpl>() != nullptr ||
         parent.as<::torch::nn::ModuleListImpl>() != nullptr;
}

struct found_parameter {
  std::string name;
  at::Tensor tensor;
  int unit = 0;
};

struct found_units {
  std::vector<std::string> names;           // of units, in registration order
  std::vector<found_parameter> parameters;  // each tensor once
  // What a module's own tensors lie in: scopes[scope] are units, the module's own and those of
  // tensors that it shares.
  std::unordered_map<const ::torch::nn::Module*, int> scope_of;
  std::vector<std::vector<int>> scopes;  // the root's is the first
  std::vector<std::string> scope_names;
};

class unit_finder {
 public:
  unit_finder(const ::torch::nn::Module& root, block_function is_block)
      : is_block_(std::move(is_block)) {
    names_.emplace_back();
    walk(root, "", 0, false);
  }

  // Scopes that own no tensor are no units.
  [[nodiscard]] found_units take() && {
    std::vector<int> dense(names_.size(), -1);
    for (const found_parameter& p : found_.parameters) dense[at(p.unit)] = 0;
    for (std::size_t scope = 0; scope < names_.size(); ++scope) {
      if (dense[scope] < 0) continue;
      dense[scope] = static_cast<int>(found_.names.size());
      found_.names.push_back(names_[scope]);
    }
    for (found_parameter& p : found_.parameters) p.unit = dense[at(p.unit)];
    found_.scopes.resize(names_.size());
    for (const auto& [scope, owner] : uses_) {
      std::vector<int>& units = found_.scopes[at(scope)];
      const int unit = dense[at(owner)];
      if (std::find(units.begin(), units.end(), unit) == units.end()) units.push_back(unit);
    }
    found_.scope_names = std::move(names_);
    return std::move(found_);
  }

 private:
  static std::size_t at(int index) { return static_cast<std::size_t>(index); }

  void walk(const ::torch::nn::Module& module, const std::string& prefix, int scope, bool inside) {
    found_.scope_of[&module] = scope;
    for (const auto& p : module.named_parameters(false)) add(prefix + p.key(), p.value(), scope);
    for (const auto& child : module.named_children()) {
      const std::string name = prefix + child.key();
      const bool block = !inside && is_block_(name, *child.value(), module);
      int of_child = scope;
      if (block) {
        of_child = static_cast<int>(names_.size());
        names_.push_back(name);
      }
      walk(*child.value(), name + ".", of_child, inside || block);
    }
  }

  void add(const std::string& name, const at::Tensor& tensor, int scope) {
    if (!tensor.defined() || tensor.numel() == 0) return;
    const auto [known, is_new] = first_.emplace(tensor.unsafeGetTensorImpl(), scope);
    uses_.emplace_back(scope, known->second);
    if (is_new) {
      expect_apart(name, tensor);
      found_.parameters.push_back({name, tensor, scope});
    }
  }

  // Two tensors over the same bytes would be updated twice.
  void expect_apart(const std::string& name, const at::Tensor& tensor) const {
    const auto begin_of = [](const at::Tensor& t) {
      return static_cast<const char*>(t.data_ptr());
    };
    for (const found_parameter& other : found_.parameters) {
      if (!tensor.is_alias_of(other.tensor)) continue;
      const char* const a = begin_of(tensor);
      const char* const b = begin_of(other.tensor);
      if (a < b + other.tensor.nbytes() && b < a + tensor.nbytes()) {
        throw std::invalid_argument("parameters '" + other.name + "' and '" + name +
                                    "' are two tensors over the same memory: to tie them, "
                                    "register one tensor under both names");
      }
    }
  }

  block_function is_block_;
  std::vector<std::string> names_;  // of scopes
  std::unordered_map<const c10::TensorImpl*, int> first_;
  std::vector<std::pair<int, int>> uses_;  // scope, and the scope that owns the tensor
  found_units found_;
};

}  // namespace zero::torch
