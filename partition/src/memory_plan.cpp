#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/base/quantized.hpp>
#include <zero/partition/memory_plan.hpp>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace zero::partition {
namespace {

constexpr std::uint64_t fp32_bytes = size_of(dtype::fp32);

void check_codes(const layout& of, const plan_options& options) {
  const auto refuse = [](const std::string& what) {
    throw invalid_argument("[partition.memory_plan] " + what);
  };
  const int gather = options.quantized_gather;
  const int reduce = options.quantized_reduce;
  if (gather != 0 && gather != 8) {
    refuse("parameters gathered in " + std::to_string(gather) + " bits: accepted are 0, 8");
  }
  if (reduce != 0 && reduce != 4 && reduce != 8) {
    refuse("gradients reduced in " + std::to_string(reduce) + " bits: accepted are 0, 4, 8");
  }
  if (options.node_ranks < 0 ||
      (options.node_ranks > 0 && of.world_size() % options.node_ranks != 0)) {
    refuse("nodes of " + std::to_string(options.node_ranks) + " ranks do not divide a world of " +
           std::to_string(of.world_size()));
  }
  if (gather + reduce > 0 && of.options().alignment % quantized_block != 0) {
    refuse("shards aligned to " + std::to_string(of.options().alignment) +
           " elements are not whole blocks of codes");
  }
}

void check(const layout& of, const plan_options& options) {
  const auto refuse = [](const std::string& what) {
    throw invalid_argument("[partition.memory_plan] " + what);
  };
  if (options.reductions < 1) refuse("reductions must be at least 1");
  if (options.prefetch < 0) refuse("prefetch must not be negative");
  check_codes(of, options);
  const std::vector<unit_spec>& units = of.model().units;
  std::vector<bool> used(units.size(), options.forward_order.empty());
  for (const int unit : options.forward_order) {
    if (unit < 0 || static_cast<std::size_t>(unit) >= units.size()) {
      refuse("forward order names unit " + std::to_string(unit) + " of " +
             std::to_string(units.size()));
    }
    used[static_cast<std::size_t>(unit)] = true;
  }
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    // No slot would be planned for it.
    if (!used[unit] && !of.buckets_of(static_cast<int>(unit)).empty()) {
      refuse("forward order leaves out unit '" + units[unit].name + "'");
    }
  }
}

}  // namespace

memory_plan::memory_plan(const layout& of, plan_options options)
    : options_(std::move(options)),
      policy_(resolved(options_.policy, of.world_size())),
      groups_(policy_, of.world_size(), options_.quantized_reduce > 0 ? options_.node_ranks : 0) {
  check(of, options_);
  check(options_.tiers, policy_);
  if (options_.forward_order.empty()) {
    options_.forward_order.resize(of.model().units.size());
    std::iota(options_.forward_order.begin(), options_.forward_order.end(), 0);
  }
  buckets_.resize(of.buckets().size());
  for (std::size_t i = 0; i < buckets_.size(); ++i) plan_bucket(of, i);
  plan_cells(of);
  plan_slots(of);
  plan_storage(of);
  plan_transients(of);
  plan_tiers(of);
}

void memory_plan::plan_bucket(const layout& of, std::size_t index) {
  const bucket& b = of.buckets()[index];
  bucket_plan& plan = buckets_[index];
  const bool alone = of.world_size() == 1;
  // From below the device even a lone rank brings what it uses.
  if (!b.resident && (!alone || options_.tiers.parameters != tier::device)) {
    plan.parameters = policy_.parameters;
    plan.secondary = policy_.secondary_parameters;
  }
  plan.gathered = is_sharded(plan.parameters);
  if (plan.gathered) plan.parameter_tier = options_.tiers.parameters;
  if (plan.gathered && !alone) plan.gather_bits = options_.quantized_gather;
  if (!b.trainable) return;
  if (!alone) plan.reduce_bits = options_.quantized_reduce;
  if (!alone || plan.gathered) plan.optimizer = policy_.optimizer;
  plan.master = b.type != dtype::fp32 && options_.master_array > 0;
  plan_reduction(b, plan, alone);
}

void memory_plan::plan_reduction(const bucket& b, bucket_plan& plan, bool alone) const {
  const bool sharded = is_sharded(policy_.gradients);
  const bool repeated = reduced_repeatedly();
  plan.reduced_type = options_.wide_gradients ? dtype::fp32 : b.type;
  plan.full_gradient = !sharded || (options_.keep_gradients && options_.reductions > 1);
  const bool widened = alone && options_.scaled_in_place && plan.reduced_type != b.type;
  if (sharded || repeated || widened) {
    plan.reduced = reduced_in::shard;
  } else if (alone) {
    plan.reduced = reduced_in::local;
    plan.reduced_type = b.type;  // a sum of one needs no wider place
  } else {
    plan.reduced = plan.reduced_type == b.type ? reduced_in::own_piece : reduced_in::full_front;
  }

  const bool wider = plan.reduced_type != b.type;
  if (alone || plan.optimizer == sharded_over::world) {
    plan.update = updated_from::reduced;
  } else if (plan.optimizer == sharded_over::nobody) {
    // A full gradient in fp32 fits nowhere in one of 16 bits.
    plan.update = wider                                   ? updated_from::apart
                  : plan.reduced == reduced_in::own_piece ? updated_from::around
                                                          : updated_from::full_front;
  } else {
    // A shard over groups of two ranks or more is at most half the bucket, so it does.
    plan.update = plan.reduced == reduced_in::shard && !sharded ? updated_from::full_front
                                                                : updated_from::around;
  }

  plan.gradient_tier = partition::gradient_tier(options_.tiers, policy_);
  if (plan.gradient_tier == tier::device) return;
  // It is sharded over just what the update walks, and leaves from where it was reduced to.
  const bool in_place = added_type(plan) == b.type && plan.reduce_bits == 0;
  plan.reduced = !in_place ? reduced_in::staged : alone ? reduced_in::local : reduced_in::own_piece;
}

void memory_plan::plan_slots(const layout& of) {
  const std::size_t units = of.model().units.size();
  const std::uint64_t grain = std::max<std::uint64_t>(options_.page_bytes, 64);
  parameter_bytes_.assign(units, 0);
  gradient_bytes_.assign(units, 0);
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const bucket& b = of.buckets()[i];
    const auto unit = static_cast<std::size_t>(b.unit);
    const std::uint64_t bytes = round_up(b.padded * size_of(b.type), grain);
    if (buckets_[i].gathered) {
      std::uint64_t& end = parameter_bytes_[unit];
      buckets_[i].parameter_slot_offset = end;
      buckets_[i].parameter_codes_offset = end + b.padded * size_of(b.type);
      const int bits = buckets_[i].gather_bits;
      const std::uint64_t codes = bits == 0 ? 0 : quantized_bytes(b.padded, bits);
      end += round_up(b.padded * size_of(b.type) + codes, grain);
    }
    if (b.trainable && !buckets_[i].full_gradient) {
      buckets_[i].gradient_slot_offset = gradient_bytes_[unit];
      gradient_bytes_[unit] += bytes;
    }
  }
  std::vector<int> order = options_.forward_order;
  const std::vector<int> backward(order.rbegin(), order.rend());
  order.insert(order.end(), backward.begin(), backward.end());
  parameter_slots_ = plan_gathers(order, parameter_bytes_, options_.prefetch);
  parameter_slots_.forgets = options_.sealed_units;
  gradient_slots_ = plan_spans(backward, gradient_bytes_, 1);
}

void memory_plan::plan_storage(const layout& of) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const bucket& b = of.buckets()[i];
    const bucket_plan& plan = buckets_[i];
    const std::uint64_t element = size_of(b.type);
    if (plan.parameter_tier == tier::device) {
      add_shard(purpose::parameter, i, memory_account::parameters, b, plan.parameters, element);
    }
    if (plan.secondary) {
      const auto over = groups_.group_size() == 1 ? sharded_over::nobody : sharded_over::group;
      add_shard(purpose::secondary_parameter, i, memory_account::parameters, b, over, element);
    }
    if (!b.trainable) continue;

    if (plan.full_gradient) {
      add_shard(purpose::gradient, i, memory_account::gradients, b, sharded_over::nobody, element);
    }
    if (plan.reduced == reduced_in::shard) {
      // Where full gradients rest anyway the shard is an accumulator between reductions.
      const bool rests = is_sharded(policy_.gradients);
      const auto run = plan.update == updated_from::around ? plan.optimizer : sharded_over::world;
      add(purpose::gradient_shard, i, rests ? memory_account::gradients : memory_account::buffers,
          elements(b, run) * size_of(plan.reduced_type));
    }
    add_optimizer(b, i);
  }
}

// What of the optimizer states is not down. Padding is told apart where all of a bucket lies.
void memory_plan::add_optimizer(const bucket& b, std::size_t index) {
  std::uint64_t kept = 0;
  std::uint64_t blocks = 0;  // bytes of all arrays for a block of elements
  bool all = true;
  for (std::size_t i = 0; i < buckets_[index].tallies; ++i) {
    const cell_tally& t = tallies_[buckets_[index].first_tally + i];
    all = all && !t.each.down;
    if (!t.each.down) kept += t.times * array_bytes(t.each);
  }
  for (const std::uint32_t bytes : options_.optimizer_arrays) blocks += bytes;
  if (buckets_[index].master) blocks += options_.master_array;
  const bool whole = all && !is_sharded(buckets_[index].optimizer);
  const std::uint64_t padding = whole ? (b.padded - b.payload) * blocks / format_block : 0;
  add(purpose::optimizer, index, memory_account::optimizer, kept - padding, padding);
}

bool memory_plan::reduces_in_levels() const noexcept {
  return options_.quantized_reduce > 0 && groups_.group_size() > 1 && groups_.groups() > 1;
}

std::uint64_t memory_plan::elements(const bucket& b, sharded_over over) const noexcept {
  return b.shard * static_cast<std::uint64_t>(groups_.pieces_of(over));
}

void memory_plan::plan_transients(const layout& of) {
  const auto buffers = memory_account::buffers;
  for (std::size_t i = 0; i < parameter_slots_.slot_bytes.size(); ++i) {
    add(purpose::parameter_slot, i, buffers, parameter_slots_.slot_bytes[i]);
  }
  for (std::size_t i = 0; i < gradient_slots_.slot_bytes.size(); ++i) {
    add(purpose::gradient_slot, i, buffers, gradient_slots_.slot_bytes[i]);
  }
  std::uint64_t staged = 0;
  std::uint64_t gathered = 0;
  std::uint64_t codes = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const bucket& b = of.buckets()[i];
    const bucket_plan& plan = buckets_[i];
    if (plan.reduce_bits > 0) {
      codes = std::max(codes, round_up(quantized_bytes(b.padded, plan.reduce_bits), 64));
    } else if (plan.reduced == reduced_in::full_front) {
      staged = std::max(staged, b.shard * fp32_bytes);
    }
    if (plan.update == updated_from::apart) {
      gathered = std::max(gathered, b.padded * fp32_bytes);
    }
  }
  for (std::size_t i = 0; i < 2; ++i) add(purpose::reduced_staging, i, buffers, staged);
  for (std::size_t i = 0; i < 2; ++i) add(purpose::reduction_codes, i, buffers, 2 * codes);
  add(purpose::gathered_gradient, 0, buffers, gathered);
  add(purpose::exchange, 0, buffers,
      decision_bytes + static_cast<std::uint64_t>(of.world_size()) * exchange_bytes);
  add(purpose::staging, 0, buffers, staging_bytes);
  if (options_.apart_from_host) {
    add(purpose::host_staging, 0, memory_account::host, staging_bytes + decision_bytes);
  }
}

void memory_plan::add(purpose what, std::size_t index, memory_account account,
                      std::uint64_t payload, std::uint64_t padding) {
  if (payload + padding > 0) allocations_.push_back({what, index, account, payload, padding});
}

// Padding is told apart where all of a bucket lies.
void memory_plan::add_shard(purpose what, std::size_t index, memory_account account,
                            const bucket& b, sharded_over over, std::uint64_t bytes_each) {
  const bool whole = !is_sharded(over);
  const std::uint64_t count = whole ? b.payload : elements(b, over);
  add(what, index, account, count * bytes_each, whole ? (b.padded - b.payload) * bytes_each : 0);
}

memory_by_account memory_plan::bytes() const noexcept {
  memory_by_account sum{};
  for (const allocation& a : allocations_) {
    sum[static_cast<std::size_t>(a.account)] += a.payload;
    sum[static_cast<std::size_t>(memory_account::buffers)] += a.padding;
  }
  return sum;
}

std::uint64_t memory_plan::peak() const noexcept {
  const memory_by_account sum = bytes();
  return std::accumulate(sum.begin(), sum.end(), std::uint64_t{0}) -
         sum[static_cast<std::size_t>(memory_account::disk)];
}

}  // namespace zero::partition
