#include "slot_walk.hpp"

#include <zero/base/error.hpp>
#include <zero/base/quantized.hpp>
#include <zero/partition/communication_plan.hpp>

#include <string>

namespace zero::partition {
namespace {

class recorder {
 public:
  recorder(const layout& of, const memory_plan& plan, communication_plan& into)
      : of_(of), plan_(plan), into_(into) {}

  // `count` elements in all, of which every rank of `among` gives or takes its piece.
  void add(transfer what, rank_group among, std::size_t bucket, std::uint64_t count, dtype type,
           dtype shard_type, std::uint64_t times) {
    if (among == rank_group::nobody || times == 0) return;
    into_.operations.push_back(
        {what, among, plan_.groups().size_of(among), bucket, count, type, shard_type, times});
  }

  void add_codes(transfer what, rank_group among, std::size_t bucket, std::uint64_t bytes,
                 std::uint64_t times) {
    add(what, among, bucket, bytes, dtype::byte, dtype::byte, times);
  }

  void gather(std::size_t index, std::uint64_t times) {
    const bucket& b = of_.buckets()[index];
    const bucket_plan& p = plan_.buckets()[index];
    const rank_group among = plan_.groups().gathers(p.parameters, sharded_over::nobody);
    const std::uint64_t first = p.secondary && times > 0 ? 1 : times;
    if (p.gather_bits > 0) {
      add_codes(transfer::gather, among, index, quantized_bytes(b.padded, p.gather_bits), first);
    } else {
      add(transfer::gather, among, index, b.padded, b.type, b.type, first);
    }
    if (p.secondary) {
      add(transfer::gather_again, rank_group::within, index, b.padded, b.type, b.type,
          times - first);
    }
  }

  void reduce(std::size_t index, std::uint64_t times) {
    const bucket& b = of_.buckets()[index];
    const bucket_plan& p = plan_.buckets()[index];
    if (p.reduce_bits == 0) {
      add(transfer::reduce, rank_group::world, index, b.padded, b.type, p.reduced_type, times);
      return;
    }
    const std::uint64_t bytes = quantized_bytes(b.padded, p.reduce_bits);
    if (!plan_.reduces_in_levels()) {
      add_codes(transfer::reduce, rank_group::world, index, bytes, times);
      return;
    }
    add_codes(transfer::reduce, rank_group::within, index, bytes, times);
    add_codes(transfer::reduce_on, rank_group::across, index,
              bytes / static_cast<std::uint64_t>(plan_.groups().group_size()), times);
  }

  void update(std::size_t index, std::uint64_t reductions) {
    const bucket& b = of_.buckets()[index];
    const bucket_plan& p = plan_.buckets()[index];
    const group_map& groups = plan_.groups();
    reduce(index, reductions);
    add(transfer::exchange, groups.gathers(sharded_over::world, p.optimizer), index,
        plan_.elements(b, p.optimizer), p.reduced_type, p.reduced_type, 1);
    add(transfer::publish, groups.gathers(p.optimizer, p.parameters), index,
        plan_.elements(b, p.parameters), b.type, b.type, 1);
  }

 private:
  const layout& of_;
  const memory_plan& plan_;
  communication_plan& into_;
};

}  // namespace

const char* name_of(transfer what) noexcept {
  switch (what) {
    case transfer::gather:
      return "gather";
    case transfer::gather_again:
      return "gather_again";
    case transfer::reduce:
      return "reduce";
    case transfer::reduce_on:
      return "reduce_on";
    case transfer::exchange:
      return "exchange";
    case transfer::vote:
      return "vote";
    case transfer::publish:
      return "publish";
  }
  return "unknown";
}

collective planned_operation::kind() const noexcept {
  if (what != transfer::reduce && what != transfer::reduce_on) return collective::all_gather;
  return type == dtype::byte ? collective::all_to_all : collective::reduce_scatter;
}

communication_volume communication_plan::step() const noexcept {
  communication_volume sum;
  for (const planned_operation& o : operations) {
    const std::uint64_t bytes = o.times * o.bytes();
    switch (o.kind()) {
      case collective::all_gather:
        sum.all_gather += bytes;
        break;
      case collective::reduce_scatter:
        sum.reduce_scatter += bytes;
        break;
      case collective::all_to_all:
        sum.all_to_all += bytes;
        break;
    }
    sum.calls += o.times;
  }
  return sum;
}

communication_plan plan_communication(const layout& of, const memory_plan& plan,
                                      int micro_batches) {
  if (micro_batches < 1 || micro_batches > plan.options().reductions) {
    throw invalid_argument("[partition.communication_plan] " + std::to_string(micro_batches) +
                           " micro-batches in a step of 1 to " +
                           std::to_string(plan.options().reductions));
  }
  communication_plan result;
  if (of.world_size() == 1) return result;
  const auto gathers =
      gathers_by_unit(of.model().units.size(), plan.parameter_slots(), micro_batches);
  const auto reductions =
      plan.options().keep_gradients ? 1 : static_cast<std::uint64_t>(micro_batches);
  recorder record(of, plan, result);
  for (std::size_t index = 0; index < of.buckets().size(); ++index) {
    record.gather(index, gathers[static_cast<std::size_t>(of.buckets()[index].unit)]);
    if (of.buckets()[index].trainable) record.update(index, reductions);
  }
  record.add(transfer::vote, rank_group::world, no_bucket,
             exchange_bytes * static_cast<std::uint64_t>(of.world_size()), dtype::byte, dtype::byte,
             1);
  return result;
}

}  // namespace zero::partition
