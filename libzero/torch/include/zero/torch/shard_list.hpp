#pragma once
// shard_list: the runs of elements that this rank updates, as fp32 tensors of one dimension over
// the library's memory, in the order in which the library shows them.
//
// Belongs to one thread at a time. While optimizer state rests off the device tensors have memory
// during a step only.

#include <zero/torch/lent_storage.hpp>
#include <zero/torch/options.hpp>
#include <zero/zero.h>

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace zero::torch {

// A run of elements of one parameter.
struct shard {
  at::Tensor values;           // what an optimizer updates; its gradient is there during a step
  std::string parameter;       // name in the module
  std::vector<int64_t> sizes;  // of the whole parameter
  int64_t offset = 0;          // of the first element in it
};

class shard_list {
 public:
  shard_list(zero_optimizer* z, const std::vector<found_parameter>& parameters) : z_(z) {
    zero_config config{};
    config.struct_size = sizeof config;
    expect(z_, zero_get_config(z_, &config));
    stays_ = config.optimizer_tier == ZERO_ON_DEVICE;
    visit(ZERO_READ, [&](const zero_update_range& range) { add(range, parameters); });
  }

  [[nodiscard]] const std::vector<shard>& all() const noexcept { return shards_; }
  [[nodiscard]] std::vector<at::Tensor> tensors() const {
    std::vector<at::Tensor> tensors;
    for (const shard& s : shards_) tensors.push_back(s.values);
    return tensors;
  }
  // Gradients of the next step are multiplied with `factor`.
  void scale_next(double factor) noexcept { factor_ = factor; }

  // Calls `update` once for each shard, whose gradient alone is there. False where the step was
  // left out. What `update` throws is thrown on, and the handle is poisoned.
  bool step(double rate, const std::function<void()>& update) {
    return run_step(rate, [&](const zero_update_range& range) {
      const at::NoGradGuard no_gradient;
      shard& s = lend_to(range);
      s.values.mutable_grad() = gradient_of(range, s);
      update();
      s.values.mutable_grad() = at::Tensor();
      if (!stays_) withdraw(storage_of(s), s.values.device(), nullptr);
    });
  }

  // A step that updates nothing yet: every shard keeps a copy of its gradient.
  bool hand_out(double rate) {
    return run_step(rate, [&](const zero_update_range& range) {
      const at::NoGradGuard no_gradient;
      shard& s = lend_to(range);
      s.values.mutable_grad() = gradient_of(range, s).clone();
      if (!stays_) keep_copy(s);
    });
  }
  // What the shards are now becomes the parameters. Collective.
  void take_back() {
    visit(ZERO_READ | ZERO_WRITE, [&](const zero_update_range& range) {
      const at::NoGradGuard no_gradient;
      shard& s = next(range);
      if (!stays_) {
        tensor_over(range.master, range.count, s.values.device()).copy_(s.values);
        withdraw(storage_of(s), s.values.device(), nullptr);
      }
      s.values.mutable_grad() = at::Tensor();
    });
  }

 private:
  using take_function = std::function<void(const zero_update_range&)>;
  struct call {
    const take_function* take;
    std::exception_ptr thrown;
  };

  static int take_range(void* user, const zero_update_range* range) {
    call& c = *static_cast<call*>(user);
    try {
      (*c.take)(*range);
      return 0;
    } catch (...) {
      c.thrown = std::current_exception();
      return 1;
    }
  }
  void end(const call& c, zero_status status) const {
    if (c.thrown) std::rethrow_exception(c.thrown);
    expect(z_, status);
  }

  void visit(int access, const take_function& take) {
    at_ = 0;
    call c{&take, nullptr};
    const zero_status status = zero_visit(z_, access, &take_range, &c);
    end(c, status);
  }
  bool run_step(double rate, const take_function& take) {
    at_ = 0;
    call c{&take, nullptr};
    const zero_status status = zero_step_with(z_, rate, &take_range, &c, nullptr);
    factor_ = 1;
    end(c, status);
    zero_step_result result{};
    result.struct_size = sizeof result;
    expect(z_, zero_last_step(z_, &result));
    return result.skipped == 0;
  }

  static at::Tensor tensor_over(void* memory, uint64_t count, c10::Device device,
                                at::ScalarType type = at::kFloat) {
    return at::from_blob(memory, {static_cast<int64_t>(count)},
                         at::TensorOptions().dtype(type).device(device));
  }
  static c10::StorageImpl& storage_of(const shard& s) {
    return *s.values.storage().unsafeGetStorageImpl();
  }

  void add(const zero_update_range& range, const std::vector<found_parameter>& parameters) {
    for (const found_parameter& p : parameters) {
      if (p.name != range.name) continue;
      const at::Tensor values = tensor_over(range.master, range.count, p.tensor.device());
      shards_.push_back({values.set_requires_grad(true), p.name, p.tensor.sizes().vec(),
                         static_cast<int64_t>(range.offset)});
      if (!stays_) withdraw(storage_of(shards_.back()), values.device(), nullptr);
      return;
    }
    throw_client_error(ZERO_FAILURE, std::string("no parameter is called '") + range.name + "'");
  }

  shard& next(const zero_update_range& range) {
    if (at_ < shards_.size()) {
      shard& s = shards_[at_++];
      if (s.parameter == range.name && s.offset == static_cast<int64_t>(range.offset) &&
          s.values.numel() == static_cast<int64_t>(range.count)) {
        return s;
      }
    }
    throw_client_error(ZERO_FAILURE, std::string("the library shows another run of '") +
                                         range.name + "' than when the module was wrapped");
  }
  shard& lend_to(const zero_update_range& range) {
    shard& s = next(range);
    lend(storage_of(s), range.master, range.count * sizeof(float), s.values.device(), nullptr);
    return s;
  }
  void keep_copy(shard& s) {
    const at::Tensor copy = s.values.detach().clone();
    give(storage_of(s),
         copy.storage().unsafeGetStorageImpl()->set_data_ptr(
             c10::DataPtr(nullptr, s.values.device())),
         copy.nbytes());
  }

  // Nobody reads it after the rule, which may change it therefore.
  at::Tensor gradient_of(const zero_update_range& range, const shard& s) const {
    const at::ScalarType types[] = {at::kFloat, at::kBFloat16, at::kHalf};
    at::Tensor gradient = tensor_over(const_cast<void*>(range.gradient), range.count,
                                      s.values.device(), types[range.gradient_dtype])
                              .to(at::kFloat);
    return factor_ < 1 ? gradient.mul(factor_) : gradient;
  }

  zero_optimizer* z_;
  bool stays_ = true;
  std::vector<shard> shards_;
  std::size_t at_ = 0;
  double factor_ = 1;
};

}  // namespace zero::torch
