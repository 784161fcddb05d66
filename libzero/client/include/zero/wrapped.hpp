#pragma once
/**
 * @file
 * zero::wrap_with: an optimizer class of the trainer's own over this rank's share of all
 * parameters.
 *
 *     auto own = zero::wrap_with(z, [&](const std::vector<zero::shard_view>& shards) {
 *       return std::make_unique<my_adam>(shards, options);  // keeps the spans
 *     });
 *     ...
 *     own.step();  // instead of my_adam::step
 *
 * The spans of the views are at one address for as long as what wrap_with returns lives, whatever
 * the stage and wherever shards rest. The library makes gradients final a few at a time and sends
 * updated weights off at once, so there is no moment inside zero_step_with at which an optimizer
 * over all of them could step: weights and gradients are brought into memory of the views, 8 bytes
 * an element of this rank, and updated weights published apart. Rules that can work range by range
 * are cheaper with optimizer::step_with.
 */

#include <zero/base/span.hpp>
#include <zero/optimizer.hpp>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

/** A run of elements of one slice of one segment that this rank updates. */
struct shard_view {
  std::string name;
  int slice = 0;
  int group = 0;
  std::size_t offset = 0; /**< of the first element, in the slice */
  span<float> master;     /**< weights: read and updated by the trainer's optimizer */
  span<float> gradient;   /**< reduced, unscaled and clipped; valid while it steps */
  [[nodiscard]] std::size_t count() const noexcept { return master.size(); }
};

/** Made by wrap_with. Move-only; `z` must outlive it and may not be moved. */
template <typename Owner>
class wrapped {
 public:
  template <typename Factory>
  wrapped(optimizer& z, Factory&& factory) : z_(&z) {
    check();
    z.visit(ZERO_READ, [this](const update_range& range) { add(range); });
    each_range([this](auto&& see) { z_->visit(ZERO_READ, see); },
               [](const update_range& range, const shard_view& view) {
                 std::copy(range.master().begin(), range.master().end(), view.master.begin());
               });
    inner_ = std::forward<Factory>(factory)(shards());
    if (!inner_) throw_client_error(ZERO_INVALID, "the factory made no optimizer");
  }

  /** The trainer's own optimizer, for its settings and its state; its step is not to be called. */
  [[nodiscard]] auto& inner() noexcept { return *inner_; }
  [[nodiscard]] const std::vector<shard_view>& shards() const noexcept { return views_; }

  /** Reduces what has not been, clips, calls inner().step() and publishes. False where the step was
   *  left out on all ranks; nothing has changed then. Collective. What inner().step() throws is
   *  thrown on, and has poisoned the optimizer. */
  bool step() {
    return step_with([](auto& inner) { inner.step(); });
  }
  /** For optimizers that are stepped otherwise: call(inner()) takes the place of its step. */
  template <typename Call>
  bool step_with(Call&& call) {
    each_range([this](auto&& see) { z_->step_with(0, see); },
               [](const update_range& range, const shard_view& view) {
                 const span<const float> from = range.gradient();
                 std::copy(range.master().begin(), range.master().end(), view.master.begin());
                 std::copy(from.begin(), from.end(), view.gradient.begin());
               });
    if (z_->last_step().skipped != 0) return false;
    publish(std::forward<Call>(call));
    return true;
  }

 private:
  void check() const {
    const config how = z_->configuration();
    const auto refuse = [](const char* why) {
      throw_client_error(ZERO_INVALID, std::string("wrap_with: ") + why);
    };
    if (how.rule != ZERO_OWN_RULE) refuse("the rule must be ZERO_OWN_RULE");
    if (how.gradient_dtype != ZERO_FP32) refuse("gradient_dtype must be ZERO_FP32");
    if (how.optimizer_tier == ZERO_ON_DISK) {
      refuse("what rests on a disk would be held in memory at each step; use step_with");
    }
  }

  void add(const update_range& range) {
    if (range.on_device()) {
      throw_client_error(ZERO_INVALID, "wrap_with: weights are a GPU's; use step_with");
    }
    shard_view view;
    view.name = std::string(range.name());
    view.slice = range.slice();
    view.group = range.group();
    view.offset = range.offset();
    memory_.push_back(std::make_unique<float[]>(2 * range.count()));
    view.master = {memory_.back().get(), range.count()};
    view.gradient = {memory_.back().get() + range.count(), range.count()};
    views_.push_back(std::move(view));
  }

  // Ranges come in the order in which the views were made.
  template <typename Go, typename See>
  void each_range(Go&& go, See&& see) {
    std::size_t next = 0;
    auto matched = [&](const update_range& range) {
      if (next == views_.size() || !is_of(range, views_[next])) {
        throw_client_error(ZERO_FAILURE, "wrap_with: ranges are not what they were");
      }
      see(range, views_[next++]);
    };
    go(matched);
  }
  static bool is_of(const update_range& range, const shard_view& view) noexcept {
    return range.name() == view.name && range.slice() == view.slice &&
           range.offset() == view.offset && range.count() == view.count();
  }

  // Every rank comes to the visit, whatever its own optimizer has thrown: it is collective.
  template <typename Call>
  void publish(Call&& call) {
    std::exception_ptr thrown;
    try {
      call(*inner_);
    } catch (...) {
      thrown = std::current_exception();
    }
    each_range([this](auto&& see) { z_->visit(ZERO_READ | ZERO_WRITE, see); },
               [&](const update_range& range, const shard_view& view) {
                 if (thrown) std::rethrow_exception(thrown);
                 std::copy(view.master.begin(), view.master.end(), range.master().begin());
               });
    if (thrown) std::rethrow_exception(thrown);
  }

  optimizer* z_;
  std::vector<shard_view> views_;
  std::vector<std::unique_ptr<float[]>> memory_;
  Owner inner_;
};

/** `factory(const std::vector<shard_view>&)` returns a pointer that owns the trainer's optimizer. A
 *  rank may have no views. The optimizer has been committed, with ZERO_OWN_RULE and gradients
 *  reduced to ZERO_FP32; shards of the optimizer rest in host memory. Throws refused_call where
 *  they do not. Collective. */
template <typename Factory>
[[nodiscard]] auto wrap_with(optimizer& z, Factory&& factory) {
  using owner = std::invoke_result_t<Factory, const std::vector<shard_view>&>;
  return wrapped<owner>(z, std::forward<Factory>(factory));
}

}  // namespace zero
#pragma GCC visibility pop
