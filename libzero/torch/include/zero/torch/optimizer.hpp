#pragma once
// optimizer: an optimizer of the client's over this rank's share of a module's parameters.
//
// Belongs to one thread at a time. Every rank makes the same calls in the same order.

#include <zero/torch/shard_list.hpp>
#include <zero/torch/sharded_module.hpp>
#include <zero/torch/sharded_sequentials.hpp>

#include <torch/optim/optimizer.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

namespace zero::torch {

// All parameters are whole until this ends. What is changed with ZERO_WRITE, or loaded, is taken
// from rank 0 for all.
class [[nodiscard]] all_parameters {
 public:
  all_parameters(std::shared_ptr<sharded_module> module, int where, int access)
      : module_(std::move(module)), where_(where), access_(access) {
    module_->fill_all(where_, access_);
  }
  all_parameters(all_parameters&&) noexcept = default;
  all_parameters& operator=(all_parameters&&) = delete;
  // Errors are given by the next call: end() throws them.
  ~all_parameters() {
    try {
      end();
    } catch (...) {
    }
  }
  void end() {
    if (const auto module = std::exchange(module_, nullptr)) module->empty_all(where_, access_);
  }

 private:
  std::shared_ptr<sharded_module> module_;
  int where_;
  int access_;
};

template <class Inner>
class optimizer {
 public:
  // As wrap() says.
  template <class Factory>
  optimizer(::torch::nn::Module& module, const options& how, zero_ranks* ranks,
            const Factory& factory)
      : module_(sharded_module::make(module, how, ranks)),
        shards_(module_->handle(), module_->parameters()) {
    if (how.enter_sequentials) sequentials_ = sharded_sequentials(module, module_);
    if constexpr (std::is_invocable_v<Factory, const std::vector<shard>&>) {
      inner_ = factory(shards_.all());
    } else {
      inner_ = factory(shards_.tensors());
    }
    if (!inner_) throw std::invalid_argument("the factory made no optimizer");
  }

  // The client's own: for schedulers, its groups and its state. Its step() and zero_grad() are not
  // to be called.
  [[nodiscard]] Inner& inner() noexcept { return *inner_; }
  [[nodiscard]] zero_optimizer* handle() const noexcept { return module_->handle(); }
  [[nodiscard]] const std::vector<shard>& shards() const noexcept { return shards_.all(); }

  // Reduces gradients and calls the inner step() for each shard, with the gradient of that shard
  // alone. False where a gradient was not finite on some rank: then nothing has changed.
  // Collective.
  bool step() {
    return step_with([](Inner& inner) { inner.step(); });
  }
  // The loss of a closure, as torch::optim has it; the closure runs once.
  at::Tensor step(const std::function<at::Tensor()>& closure) {
    at::Tensor loss;
    {
      const at::AutoGradMode on(true);
      loss = closure();
    }
    step();
    return loss;
  }
  // For optimizers that are stepped otherwise: `call(inner)` is called in the place of step().
  template <class Call>
  bool step_with(Call&& call) {
    begin_step();
    return end_step(shards_.step(rate(), [&] { call(*inner_); }));
  }

  // The same around a step of the client's: pre_step() gives every shard its gradient, at the cost
  // of a copy of it; where it returns true the inner optimizer is stepped, once, and post_step()
  // called.
  bool pre_step() {
    begin_step();
    return end_step(shards_.hand_out(rate()));
  }
  void post_step() {
    shards_.take_back();
    module_->parameters_changed();
  }

  // Forgets gradients made since the last step, as Optimizer::zero_grad does. Collective if there
  // are any.
  void zero_grad(bool /*set_to_none*/ = true) {
    if (module_->settle() || module_->has_gradients()) {
      expect(handle(), zero_skip(handle()));
      end_step(shards_.step(rate(), [] {}));
    }
  }
  // Says that micro-batch `index` of `count` of a step begins.
  void micro_batch(int index, int count) { module_->micro_batch(index, count); }

  [[nodiscard]] int rank() const noexcept { return zero_rank(handle()); }
  [[nodiscard]] int ranks() const noexcept { return zero_size(handle()); }
  // The mean of one value a rank. Collective.
  double mean(double value) {
    expect(handle(), zero_sum(handle(), &value, 1));
    return value / ranks();
  }

  // The global norm of the gradients, which the next step scales down to `most`, as
  // torch::nn::utils::clip_grad_norm_ would if the gradients were its to see. Collective.
  double clip_grad_norm(double most) {
    const double norm = gradient_norm();
    shards_.scale_next(std::min(1.0, most / (norm + 1e-6)));
    return norm;
  }
  double gradient_norm() {
    static_cast<void>(module_->settle());
    double norm = 0;
    expect(handle(), zero_gradient_norm(handle(), &norm));
    return norm;
  }
  // The loss to call backward() on where gradients carry a loss scale.
  at::Tensor scaled(const at::Tensor& loss) {
    double scale = 1;
    expect(handle(), zero_loss_scale(handle(), &scale));
    return loss * scale;
  }
  [[nodiscard]] zero_step_result last_step() const {
    zero_step_result result{};
    result.struct_size = sizeof result;
    expect(handle(), zero_last_step(handle(), &result));
    return result;
  }

  // For saving, sampling and loading. Collective.
  all_parameters whole(int where = ZERO_ON_ALL, int access = ZERO_READ) {
    return all_parameters(module_, where, access);
  }
  // Gives the module memory of its own with the values it has, as it was before wrap(). Collective;
  // the last call.
  void unwrap() {
    module_->keep_all();
    sequentials_ = {};
  }

 private:
  // What an exception left of a backward is nothing to update with.
  void begin_step() {
    if (module_->settle()) expect(handle(), zero_skip(handle()));
    module_->expect_no_fault();
    module_->expect_all_ours();
  }
  bool end_step(bool applied) {
    module_->stepped();
    if (applied) module_->parameters_changed();
    return applied;
  }
  // Ranks compare it; the client's optimizer has its own.
  [[nodiscard]] double rate() {
    for (auto& group : inner_->param_groups()) {
      if (group.has_options()) return group.options().get_lr();
    }
    return 0;
  }

  std::shared_ptr<sharded_module> module_;
  sharded_sequentials sequentials_;
  shard_list shards_;
  std::unique_ptr<Inner> inner_;
};

}  // namespace zero::torch
