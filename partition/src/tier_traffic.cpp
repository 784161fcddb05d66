#include "slot_walk.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <string>

namespace zero::partition {
namespace {

// Moves of a record of `record` bytes that rests on `rests`, of which `bytes` cross.
struct moves {
  tier rests = tier::device;
  std::uint64_t record = 0;

  [[nodiscard]] std::uint64_t stride() const {
    return rests == tier::disk ? round_up(record, tier_alignment(tier::disk)) : 0;
  }
  // To and from host memory.
  void read(tier_bytes& into) const { into.disk_read += stride(); }
  void written(tier_bytes& into) const { into.disk_written += stride(); }
  // To and from the device.
  void up(tier_bytes& into) const {
    read(into);
    into.host_to_device += record;
  }
  void down(tier_bytes& into) const {
    written(into);
    into.device_to_host += record;
  }
};

class counter {
 public:
  counter(const layout& of, const memory_plan& plan, tier_traffic_plan& into)
      : of_(of), plan_(plan), into_(into) {}

  void gathers(const cell& c, std::uint64_t times) {
    const moves parameter = parameter_of(c);
    if (parameter.rests == tier::device) return;
    const std::uint64_t fetched = at(c).secondary && times > 0 ? 1 : times;
    for (std::uint64_t i = 0; i < fetched; ++i) parameter.up(into_.gathers);
  }

  void reductions(const cell& c, std::uint64_t times) {
    const moves gradient = gradient_of(c);
    if (gradient.rests == tier::device || times == 0) return;
    gradient.down(into_.gradients);
    for (std::uint64_t i = 1; i < times; ++i) {
      into_.gradients.device_to_host += c.count * size_of(plan_.added_type(at(c)));
      gradient.read(into_.gradients);
      gradient.written(into_.gradients);
    }
  }

  void update(const cell& c) {
    tier_bytes& into = into_.updates;
    const moves gradient = gradient_of(c);
    const moves parameter = parameter_of(c);
    if (c.down) {
      const moves optimizer{plan_.options().tiers.optimizer, plan_.array_bytes(c)};
      optimizer.read(into);
      optimizer.written(into);
      to_host(gradient, into);
      if (reads_parameter(c)) to_host(parameter, into);
      if (parameter.rests == tier::device) into.host_to_device += parameter.record;
      parameter.written(into);
      return;
    }
    if (gradient.rests != tier::device) gradient.up(into);
    if (parameter.rests == tier::device) return;
    if (reads_parameter(c)) parameter.up(into);
    parameter.down(into);
  }

 private:
  [[nodiscard]] const bucket_plan& at(const cell& c) const { return plan_.buckets()[c.bucket]; }
  [[nodiscard]] moves gradient_of(const cell& c) const {
    return {at(c).gradient_tier, c.count * size_of(at(c).reduced_type)};
  }
  [[nodiscard]] moves parameter_of(const cell& c) const {
    return {at(c).parameter_tier, c.count * size_of(of_.buckets()[c.bucket].type)};
  }
  // Whole fp32 master weights stand for the parameters.
  [[nodiscard]] bool reads_parameter(const cell& c) const {
    const bool remainder =
        at(c).master && plan_.options().master_array < format_block * size_of(dtype::fp32);
    return !c.master || remainder;
  }
  static void to_host(const moves& what, tier_bytes& into) {
    if (what.rests == tier::device) into.device_to_host += what.record;
    what.read(into);
  }

  const layout& of_;
  const memory_plan& plan_;
  tier_traffic_plan& into_;
};

void add(tier_bytes& sum, const tier_bytes& each, std::uint64_t times) {
  sum.host_to_device += times * each.host_to_device;
  sum.device_to_host += times * each.device_to_host;
  sum.disk_read += times * each.disk_read;
  sum.disk_written += times * each.disk_written;
}

}  // namespace

tier_bytes& tier_bytes::operator+=(const tier_bytes& other) noexcept {
  host_to_device += other.host_to_device;
  device_to_host += other.device_to_host;
  disk_read += other.disk_read;
  disk_written += other.disk_written;
  return *this;
}

tier_bytes tier_traffic_plan::step() const noexcept {
  tier_bytes sum = gathers;
  sum += gradients;
  sum += updates;
  return sum;
}

tier_traffic_plan plan_tier_traffic(const layout& of, const memory_plan& plan, int micro_batches) {
  if (micro_batches < 1 || micro_batches > plan.options().reductions) {
    throw invalid_argument("[partition.tier_traffic] " + std::to_string(micro_batches) +
                           " micro-batches in a step of 1 to " +
                           std::to_string(plan.options().reductions));
  }
  tier_traffic_plan result;
  const auto gathers =
      gathers_by_unit(of.model().units.size(), plan.parameter_slots(), micro_batches);
  const auto reductions =
      plan.options().keep_gradients ? 1 : static_cast<std::uint64_t>(micro_batches);
  for (const cell_tally& t : plan.tallies()) {
    const bucket& b = of.buckets()[t.each.bucket];
    tier_traffic_plan one;
    counter count(of, plan, one);
    count.gathers(t.each, gathers[static_cast<std::size_t>(b.unit)]);
    if (b.trainable) {
      count.reductions(t.each, reductions);
      count.update(t.each);
    }
    add(result.gathers, one.gathers, t.times);
    add(result.gradients, one.gradients, t.times);
    add(result.updates, one.updates, t.times);
  }
  return result;
}

}  // namespace zero::partition
