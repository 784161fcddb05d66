// The full-parameters region: the whole model on every rank, for sampling or saving.

#include "state.hpp"

#include <zero/base/error.hpp>

#include <utility>

namespace zero {

namespace {

constexpr const char* call_name = "full parameters";

}  // namespace

struct full_parameters_region::storage {
  sharded_optimizer::state& owner;
  std::vector<buffer> gathered;  // by bucket; empty where the parameters rest in full

  [[nodiscard]] typed_span of_parameter(std::size_t index) const;
  [[nodiscard]] typed_span full(std::size_t index) const noexcept {
    const bucket_storage& b = owner.buckets[index];
    void* data = is_sharded(b.plan->parameters) ? gathered[index].data() : b.parameter.data();
    return {data, b.shape->padded, b.shape->type};
  }
};

full_parameters_region::full_parameters_region(std::unique_ptr<storage> s) noexcept
    : storage_(std::move(s)) {}
full_parameters_region::full_parameters_region(full_parameters_region&&) noexcept = default;
full_parameters_region::~full_parameters_region() = default;

const_typed_span full_parameters_region::parameter(std::size_t index) const {
  return storage_->of_parameter(index);
}

typed_span full_parameters_region::writable(std::size_t index) {
  return storage_->of_parameter(index);
}

typed_span full_parameters_region::storage::of_parameter(std::size_t index) const {
  const partition::layout& layout = owner.layout;
  if (index >= layout.parameters().size()) {
    throw invalid_argument("[engine.full_parameters] parameter " + std::to_string(index) + " of " +
                           std::to_string(layout.parameters().size()));
  }
  const partition::placement& p = layout.parameters()[layout.parameters()[index].storage];
  if (p.bucket == partition::no_bucket) return {};
  return full(p.bucket).part(p.offset, p.count);
}

void full_parameters_region::write() {
  sharded_optimizer::state& s = storage_->owner;
  s.expect_none_held("write");
  s.wait_gathered();
  s.wait_published();
  s.forget_gathered();  // from what is about to be old
  for (std::size_t index = 0; index < s.buckets.size(); ++index) {
    const bucket_storage& b = s.buckets[index];
    const typed_span full = storage_->full(index);
    if (!s.alone()) {
      s.wait(s.groups.world().broadcast(full, 0, s.call_of(call_name, static_cast<int>(index))));
    }
    const auto own = [&](partition::sharded_over over) {
      return full.part(static_cast<std::uint64_t>(s.held(over).first) * b.shape->shard,
                       s.plan.elements(*b.shape, over));
    };
    if (is_sharded(b.plan->parameters)) {
      s.work.copy(own(b.plan->parameters), s.parameters_over(index, b.plan->parameters));
    }
    if (b.plan->master) s.work.adopt(own(b.plan->optimizer), s.master(index));
  }
}

full_parameters_region sharded_optimizer::full_parameters() {
  state& s = *state_;
  s.expect_none_held("full_parameters");
  s.wait_published();
  auto region =
      std::unique_ptr<full_parameters_region::storage>(new full_parameters_region::storage{s, {}});
  region->gathered.resize(s.buckets.size());
  // All memory first: what is queued must not be freed by a later allocation that fails.
  for (std::size_t index = 0; index < s.buckets.size(); ++index) {
    const bucket_storage& b = s.buckets[index];
    if (!is_sharded(b.plan->parameters)) continue;
    region->gathered[index] = buffer(s.ranks.memory(), s.statistics, memory_account::buffers,
                                     b.shape->padded * size_of(b.shape->type));
  }
  completion last;
  for (std::size_t index = 0; index < s.buckets.size(); ++index) {
    const partition::sharded_over over = s.buckets[index].plan->parameters;
    if (!is_sharded(over)) continue;
    const auto among = s.plan.groups().gathers(over, partition::sharded_over::nobody);
    last = s.groups.over(among).all_gather(s.parameters_over(index, over), region->full(index),
                                           s.call_of(call_name, static_cast<int>(index)));
  }
  s.wait(last);
  s.queue.record().wait();
  return full_parameters_region(std::move(region));
}

}  // namespace zero
