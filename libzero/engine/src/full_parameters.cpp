// The full-parameters region: the whole model on every rank, for sampling or saving.

#include "state.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>
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
    void* data = b.plan->gathered ? gathered[index].data() : b.parameter.data();
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
    if (b.plan->parameter_tier != partition::tier::device) {
      s.spill_parameters(index, own(b.plan->parameters)).wait();
    } else if (b.plan->gathered) {
      s.work.copy(own(b.plan->parameters), s.parameters_over(index, b.plan->parameters));
    }
    if (b.shape->trainable) s.adopt_masters(index, own(b.plan->optimizer));
  }
  s.read_cell = partition::no_record;
}

// What was written takes the place of master weights that differ from it.
void sharded_optimizer::state::adopt_masters(std::size_t index, const typed_span& written) {
  const bucket_storage& b = buckets[index];
  std::size_t cell = b.plan->first_cell;
  for (const partition::cell& c : plan.cells_of(index)) {
    const std::size_t number = cell++;
    if (!c.master) continue;
    const typed_span part = written.part(c.begin, c.count);
    std::byte* const arrays = optimizer_to_read(number);
    auto* const master = reinterpret_cast<float*>(arrays + plan.array_offset(c, 0));
    if (packed_master(c)) {  // what was written is all of the weight
      const std::size_t bytes = c.count * 2;
      if (!c.down) {
        work.clear({master, bytes, dtype::byte});
        continue;
      }
      std::memset(master, 0, bytes);
    } else if (!c.down) {
      work.adopt(part, master);
      continue;
    }
    // Through the staging's twin on the host, since the host has the master weights.
    const std::uint64_t at_once = partition::staging_bytes / sizeof(float);
    for (std::uint64_t done = 0; done < c.count && !packed_master(c); done += at_once) {
      const typed_span some = part.part(done, std::min(at_once, c.count - done));
      work.read(some.data, host_values(), some.bytes());
      queue.record().wait();
      tiers.host_work().adopt({host_values(), some.count, some.type}, master + done);
    }
    offload::tier_store& store = *tiers.store(partition::tier_class::optimizer);
    if (store.in_place(c.optimizer_record) != nullptr) continue;
    tiers.lane()
        .spill({arrays, memory_place::host}, plan.array_bytes(c), store, c.optimizer_record,
               b.shape->unit)
        .wait();
  }
}

full_parameters_region sharded_optimizer::full_parameters() {
  state& s = *state_;
  s.expect_whole();
  s.expect_none_held("full_parameters");
  s.expect_no_early("full_parameters");
  s.wait_published();
  auto region =
      std::unique_ptr<full_parameters_region::storage>(new full_parameters_region::storage{s, {}});
  region->gathered.resize(s.buckets.size());
  // All memory first: what is queued must not be freed by a later allocation that fails.
  for (std::size_t index = 0; index < s.buckets.size(); ++index) {
    const bucket_storage& b = s.buckets[index];
    if (!b.plan->gathered) continue;
    region->gathered[index] = buffer(s.ranks.memory(), s.statistics, memory_account::buffers,
                                     b.shape->padded * size_of(b.shape->type));
  }
  completion last;
  for (std::size_t index = 0; index < s.buckets.size(); ++index) {
    const bucket_storage& b = s.buckets[index];
    const partition::sharded_over over = b.plan->parameters;
    if (!b.plan->gathered) continue;
    const typed_span full = region->full(index);
    typed_span shard;
    if (b.plan->parameter_tier == partition::tier::device) {
      shard = s.parameters_over(index, over);
    } else {
      shard = full.part(static_cast<std::uint64_t>(s.held(over).first) * b.shape->shard,
                        s.plan.elements(*b.shape, over));
      s.fetch_parameters(index, shard).wait();
    }
    if (s.alone()) continue;
    const auto among = s.plan.groups().gathers(over, partition::sharded_over::nobody);
    last =
        s.groups.over(among).all_gather(shard, full, s.call_of(call_name, static_cast<int>(index)));
  }
  s.wait(last);
  s.queue.record().wait();
  return full_parameters_region(std::move(region));
}

}  // namespace zero
