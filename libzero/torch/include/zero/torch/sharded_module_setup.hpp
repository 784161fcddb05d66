#pragma once
// sharded_module: how a module comes into the library's hands and out of them again.

#include <zero/torch/sharded_module.hpp>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace zero::torch {

inline int32_t dtype_of(const found_parameter& p) {
  switch (p.tensor.scalar_type()) {
    case at::kFloat:
      return ZERO_FP32;
    case at::kBFloat16:
      return ZERO_BF16;
    case at::kHalf:
      return ZERO_FP16;
    default:
      throw std::invalid_argument("parameter '" + p.name + "' is of " +
                                  c10::toString(p.tensor.scalar_type()) +
                                  ": float, bfloat16 and half can be sharded");
  }
}

inline std::shared_ptr<sharded_module> sharded_module::make(::torch::nn::Module& module,
                                                            const options& how, zero_ranks* ranks) {
  std::shared_ptr<sharded_module> made(new sharded_module(module, how));
  zero_message why{};
  const zero_status status = zero_create(&made->config_, ranks, &made->z_, &why);
  expect_ok(status, why);
  expect(made->z_, zero_use_stream(made->z_, made->stream()));
  made->attach();
  made->set_forward_order(how);
  expect(made->z_, zero_commit(made->z_));
  made->send_values();
  made->take_over();
  for (std::size_t i = 0; i < made->tensors_.size(); ++i) made->listen_to(i);
  return made;
}

inline sharded_module::sharded_module(::torch::nn::Module& module, const options& how)
    : found_(unit_finder(module, how.is_block).take()), config_(how.config), stream_(how.stream) {
  if (found_.parameters.empty()) throw std::invalid_argument("the module has no parameters");
  units_.resize(found_.names.size());
  device_ = found_.parameters.front().tensor.device();
  for (std::size_t i = 0; i < found_.parameters.size(); ++i) {
    const found_parameter& p = found_.parameters[i];
    static_cast<void>(dtype_of(p));
    if (p.tensor.device() != device_) {
      throw std::invalid_argument("parameter '" + p.name + "' is on " + p.tensor.device().str() +
                                  " and '" + found_.parameters.front().name + "' on " +
                                  device_.str() + ": all must be on one device");
    }
    unit(p.unit).parameters.push_back(i);
    unit(p.unit).has_frozen |= !p.tensor.requires_grad();
  }
  config_.rule = ZERO_OWN_RULE;
  config_.own_states = 0;
  config_.device = device_.is_cuda() ? std::max<int>(device_.index(), 0) : -1;
  config_.stable_addresses = 0;  // tensors are told where their memory is, each time
  set_prefetch();
  own_storages();
}

// What is gathered ahead counts units; a block may be several, with those it shares tensors with,
// and the root comes on top. They must be there together.
inline void sharded_module::set_prefetch() {
  std::size_t most = 1;
  for (std::size_t i = 1; i < found_.scopes.size(); ++i) {
    most = std::max(most, found_.scopes[i].size());
  }
  const auto each = static_cast<int32_t>(most);
  config_.prefetch = std::max(config_.prefetch * each, each - 1);
  if (found_.scopes.size() > 1) config_.prefetch += static_cast<int32_t>(units_in(0).size());
}

// Contiguous, and alone in its storage from the first byte to the last.
inline void sharded_module::own_storages() {
  const at::NoGradGuard no_gradient;
  tensors_.resize(found_.parameters.size());
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    at::Tensor& tensor = found_.parameters[i].tensor;
    const bool alone = std::none_of(
        found_.parameters.begin(), found_.parameters.end(), [&](const found_parameter& other) {
          return &other.tensor != &tensor && other.tensor.is_alias_of(tensor);
        });
    if (!alone || !tensor.is_contiguous() || tensor.storage().nbytes() != tensor.nbytes()) {
      tensor.set_data(tensor.detach().clone(at::MemoryFormat::Contiguous));
    }
    tensors_[i].storage = tensor.storage();
    tensors_[i].bytes = tensor.nbytes();
  }
}

inline void sharded_module::attach() {
  for (const found_parameter& p : found_.parameters) {
    const std::vector<uint64_t> shape(p.tensor.sizes().begin(), p.tensor.sizes().end());
    zero_segment segment{};
    segment.name = p.name.c_str();
    segment.count = static_cast<uint64_t>(p.tensor.numel());
    segment.dtype = dtype_of(p);
    segment.unit = p.unit;
    segment.flags = p.tensor.requires_grad() ? 0U : static_cast<uint32_t>(ZERO_FROZEN);
    segment.shape = shape.empty() ? nullptr : shape.data();
    segment.dimensions = static_cast<int32_t>(shape.size());
    expect(z_, zero_attach(z_, &segment, 1, sizeof segment));
  }
}

// The root is in use before, between and after all others: it stands between them as often as keeps
// it in its slot. Units of tensors that a unit shares are in use with it.
inline void sharded_module::set_forward_order(const options& how) {
  std::vector<int> scopes;
  for (const std::string& name : how.forward_order) {
    const auto found = std::find(found_.scope_names.begin(), found_.scope_names.end(), name);
    if (found == found_.scope_names.end()) {
      throw std::invalid_argument("options.forward_order: no unit is called '" + name + "'");
    }
    scopes.push_back(static_cast<int>(found - found_.scope_names.begin()));
  }
  for (int scope = 1; scope < static_cast<int>(found_.scopes.size()); ++scope) {
    if (how.forward_order.empty()) scopes.push_back(scope);
  }
  const std::vector<int>& root = units_in(0);
  std::vector<int32_t> order(root.begin(), root.end());
  std::size_t between = 0;
  for (const int scope : scopes) {
    const std::vector<int>& units = units_in(scope);
    if (between + units.size() + root.size() > static_cast<std::size_t>(config_.prefetch) + 1) {
      order.insert(order.end(), root.begin(), root.end());
      between = 0;
    }
    order.insert(order.end(), units.begin(), units.end());
    between += units.size();
  }
  order.insert(order.end(), root.begin(), root.end());
  expect(z_, zero_forward_order(z_, order.data(), order.size()));
}

inline void sharded_module::send_values() {
  const at::NoGradGuard no_gradient;
  expect(z_, zero_full_begin(z_, ZERO_ON_ALL, ZERO_READ | ZERO_WRITE));
  for (std::size_t i = 0; i < tensors_.size() && zero_rank(z_) == 0; ++i) {
    const at::Tensor& from = found_.parameters[i].tensor;
    at::from_blob(memory_of(i), from.sizes(), from.options().requires_grad(false)).copy_(from);
  }
  expect(z_, zero_full_end(z_));
}

inline void sharded_module::take_over() {
  for (std::size_t u = 0; u < units_.size(); ++u) {
    if (comes_and_goes()) {
      for (const std::size_t i : units_[u].parameters) {
        tensor_state& t = tensors_[i];
        void* const own = found_.parameters[i].tensor.data_ptr();
        t.own = lend(*t.storage.unsafeGetStorageImpl(), own, t.bytes, device_, this);
      }
      bring_up_to_date(static_cast<int>(u));
    } else {
      fill(static_cast<int>(u));
    }
  }
}

inline void sharded_module::listen_to(std::size_t parameter) {
  const at::Tensor& tensor = found_.parameters[parameter].tensor;
  tensor_state& t = tensors_[parameter];
  if (!tensor.requires_grad()) return;
  if (t.accumulator) t.accumulator->del_post_hook(t.hook);
  tensor.mutable_grad() = at::Tensor();
  t.accumulator = ::torch::autograd::impl::grad_accumulator(tensor);
  t.hook =
      t.accumulator->add_post_hook(std::make_unique<arrival_hook>(weak_from_this(), parameter));
}

inline void sharded_module::stop_listening() noexcept {
  for (tensor_state& t : tensors_) {
    if (t.accumulator) t.accumulator->del_post_hook(t.hook);
    t.accumulator.reset();
  }
}

// Memory of the tensor's own with the values it has now.
inline void sharded_module::keep(std::size_t parameter) {
  const at::NoGradGuard no_gradient;
  const at::Tensor copy = found_.parameters[parameter].tensor.detach().clone();
  tensor_state& t = tensors_[parameter];
  give(*t.storage.unsafeGetStorageImpl(),
       copy.storage().unsafeGetStorageImpl()->set_data_ptr(c10::DataPtr(nullptr, device_)),
       t.bytes);
  t.own.clear();
}

inline void sharded_module::keep_all() {
  fill_all(ZERO_ON_ALL, ZERO_READ);
  for (std::size_t i = 0; i < tensors_.size(); ++i) keep(i);
  stop_listening();
  kept_ = true;
  expect(z_, zero_full_end(z_));
}

inline sharded_module::~sharded_module() {
  stop_listening();
  for (std::size_t i = 0; i < tensors_.size() && !kept_ && z_ != nullptr; ++i) {
    tensor_state& t = tensors_[i];
    if (!t.storage || lender_of<sharded_module>(t.storage) != this) continue;
    c10::StorageImpl& storage = *t.storage.unsafeGetStorageImpl();
    try {
      if (t.own.get() != nullptr) {
        give(storage, std::move(t.own), t.bytes);
      } else if (!comes_and_goes()) {
        keep(i);
      } else {
        give(storage, c10::DataPtr(nullptr, device_), 0);
      }
    } catch (...) {  // no memory for a copy
      give(storage, c10::DataPtr(nullptr, device_), 0);
    }
  }
  zero_close(z_);
}

}  // namespace zero::torch
