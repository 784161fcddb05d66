// Master weights: how they begin, and how they and states are read out without gathering the model
// anywhere.

#include "state.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <algorithm>
#include <cstring>
#include <string>

namespace zero {

using partition::no_record;
using partition::sharded_over;
using partition::tier;
using partition::tier_class;

namespace {

constexpr std::uint64_t chunk_elements = partition::staging_bytes / sizeof(float);
// Of what is read at a time, so that the whole blocks it lies in fit the staging.
constexpr std::uint64_t read_elements = chunk_elements - 2 * optim::format_block;

// Whose shard a rank keeps master weights of; of frozen parameters, all that rests here.
sharded_over kept_over(const bucket_storage& b) noexcept {
  return b.shape->trainable ? b.plan->optimizer : b.plan->parameters;
}

}  // namespace

void sharded_optimizer::state::set_masters(const fill_function& fill, state_fate of_states,
                                           const char* call) {
  expect_whole();
  expect_no_early(call);
  prepare_to_change(call);
  for (std::size_t index = 0; index < buckets.size(); ++index) {
    fill_bucket(index, fill, of_states);
    publish(index);
  }
  wait_published();
  read_cell = no_record;  // its block held what was filled
}

// Parameters that rest off the device are made in a slot, which nobody uses now.
void sharded_optimizer::state::fill_bucket(std::size_t index, const fill_function& fill,
                                           state_fate of_states) {
  bucket_storage& b = buckets[index];
  const bool below = b.plan->parameter_tier != tier::device;
  const typed_span parameters = below ? free_slot(index) : parameters_over(index, kept_over(b));
  if (below) work.clear(parameters);  // padding is zeros
  if (b.plan->cells == 0) {           // frozen, on the device
    partition::cell all;
    all.bucket = index;
    all.count = parameters.count;
    return fill_cell(all, nullptr, parameters, fill);
  }
  const auto cells = plan.cells_of(index);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const partition::cell& c = cells[i];
    std::byte* arrays = b.optimizer.as<std::byte>() + c.at;
    if (c.down) {
      offload::tier_store& store = *tiers.store(tier_class::optimizer);
      std::byte* const resting = store.in_place(c.optimizer_record);
      if (of_states == state_fate::kept) {
        arrays = optimizer_to_read(b.plan->first_cell + i);
      } else {
        arrays =
            resting != nullptr ? resting : tiers.host_block(0) + plan.host_block().optimizer.at;
        std::memset(arrays, 0, plan.array_bytes(c));
      }
      fill_cell(c, arrays, parameters.part(c.begin, c.count), fill);
      if (resting == nullptr) {
        tiers.lane()
            .spill({arrays, memory_place::host}, plan.array_bytes(c), store, c.optimizer_record,
                   b.shape->unit)
            .wait();
      }
    } else {
      // States begin at zero, whatever they were before, as those that are down do.
      if (b.shape->trainable && of_states == state_fate::cleared)
        work.clear({arrays, plan.array_bytes(c), dtype::byte});
      fill_cell(c, arrays, parameters.part(c.begin, c.count), fill);
    }
  }
  if (below) spill_parameters(index, parameters).wait();
}

// `arrays` and `parameter` are of the cell. Window by window, so that padding is zeros and every
// window whole blocks.
void sharded_optimizer::state::fill_cell(const partition::cell& c, std::byte* arrays,
                                         const typed_span& parameter, const fill_function& fill) {
  const bucket_storage& b = buckets[c.bucket];
  const partition::piece_run own = held(kept_over(b));
  float* const values = host_values();
  for (std::uint64_t window = 0; window < c.count; window += chunk_elements) {
    const std::uint64_t count = std::min(chunk_elements, c.count - window);
    const std::uint64_t begin = c.begin + window;
    std::fill_n(values, count, 0.0F);
    for (int piece = own.first; piece < own.first + own.count; ++piece) {
      const std::uint64_t base = static_cast<std::uint64_t>(piece - own.first) * b.shape->shard;
      if (base >= begin + count || base + b.shape->shard <= begin) continue;
      for (const partition::piece& p : layout.pieces(c.bucket, piece)) {
        const std::uint64_t first = std::max(base + p.shard_offset, begin);
        const std::uint64_t end = std::min(base + p.shard_offset + p.count, begin + count);
        if (first >= end) continue;
        fill(p.parameter, p.parameter_offset + (first - base - p.shard_offset),
             {values + (first - begin), end - first});
      }
    }
    fill_window(c, arrays, parameter, window, {values, count});
  }
}

void sharded_optimizer::state::fill_window(const partition::cell& c, std::byte* arrays,
                                           const typed_span& parameter, std::uint64_t at,
                                           span<const float> values) {
  const std::size_t count = values.size();
  const typed_span out = parameter.part(at, count);
  const const_typed_span in{values.data(), count, dtype::fp32};
  const bool trainable = buckets[c.bucket].shape->trainable;
  auto* const wide = staging.as<float>();
  if (out.type != dtype::fp32) work.write(values.data(), wide, values.size_bytes());
  if (out.type == dtype::fp32) {
    work.write(values.data(), out.data, values.size_bytes());
  } else if (trainable && packed_master(c) && c.down && c.master) {
    // Rounded by the host, which has the remainders, and then sent up.
    std::vector<std::byte> narrow(out.bytes());
    optim::packed_spans weights = packed_weights(c, arrays, {narrow.data(), count, out.type});
    weights.count = count;
    weights.master = static_cast<std::byte*>(weights.master) + at * 2;
    tiers.host_work().pack_master(in, weights);
    work.write(narrow.data(), out.data, out.bytes());
    queue.record().wait();
  } else if (trainable && packed_master(c)) {
    optim::packed_spans weights = packed_weights(c, arrays, out);
    weights.count = count;
    if (c.master) weights.master = static_cast<std::byte*>(weights.master) + at * 2;
    work.pack_master({wide, count, dtype::fp32}, weights);
  } else {
    work.convert({wide, count, dtype::fp32}, out);
  }
  if (c.master && !packed_master(c)) {
    float* const master = reinterpret_cast<float*>(arrays + plan.array_offset(c, 0)) + at;
    if (c.down) {
      std::memcpy(master, values.data(), values.size_bytes());
    } else {
      work.write(values.data(), master, values.size_bytes());
    }
  }
  queue.record().wait();  // the next window takes the same place
}

// Stochastic rounding is keyed by the place of an element among all of them, padding left out,
// which no cut changes.
optim::packed_spans sharded_optimizer::state::packed_weights(
    const partition::cell& c, std::byte* arrays, const typed_span& parameter) const noexcept {
  const bucket_storage& b = buckets[c.bucket];
  optim::packed_spans spans;
  spans.count = c.count;
  spans.formats = options.formats;
  if (b.shape->type == dtype::fp32) spans.formats.master = optim::master_format::fp32;
  spans.parameter = parameter;
  if (c.master) {
    spans.master = arrays + plan.array_offset(c, 0);
  } else if (b.shape->type == dtype::fp32) {
    spans.master = parameter.data;
  }
  if (b.shape->type == dtype::fp32) spans.parameter = {};
  for (std::size_t i = 0; i < c.bucket; ++i) spans.first_element += buckets[i].shape->payload;
  spans.first_element +=
      static_cast<std::uint64_t>(held(b.plan->optimizer).first) * b.shape->shard + c.begin;
  spans.seed = options.rounding_seed;
  return spans;
}

// Room for this rank's shard of a bucket, in a slot that nobody holds.
typed_span sharded_optimizer::state::free_slot(std::size_t index) {
  const bucket_storage& b = buckets[index];
  const std::size_t slot = parameter_slots.choose(b.shape->unit, partition::no_slot);
  if (slot == partition::no_slot) {
    throw invalid_argument("[engine] no slot is left to bring the parameters of unit '" +
                           layout.model().units[static_cast<std::size_t>(b.shape->unit)].name +
                           "' to: release the units that are held");
  }
  parameter_slots.last_used(slot).wait();
  return {parameter_slots.memory(slot), plan.elements(*b.shape, b.plan->parameters), b.shape->type};
}

typed_span sharded_optimizer::state::parameters_to_read(std::size_t index) {
  const bucket_storage& b = buckets[index];
  if (b.plan->parameter_tier == tier::device) return parameters_over(index, b.plan->parameters);
  if (read_bucket != index) {
    read_parameters = free_slot(index);
    fetch_parameters(index, read_parameters).wait();
    read_bucket = index;
  }
  return read_parameters;
}

std::byte* sharded_optimizer::state::optimizer_to_read(std::size_t index) {
  const partition::cell& c = plan.cells()[index];
  const bucket_storage& b = buckets[c.bucket];
  if (!c.down) return b.optimizer.as<std::byte>() + c.at;
  offload::tier_store& store = *tiers.store(tier_class::optimizer);
  std::byte* const resting = store.in_place(c.optimizer_record);
  if (resting != nullptr) return resting;
  std::byte* const here = tiers.host_block(0) + plan.host_block().optimizer.at;
  if (read_cell != index) {
    under_way[0].spilled.wait();
    under_way[0].risen.wait();
    tiers.lane()
        .fetch(store, c.optimizer_record, {here, memory_place::host}, plan.array_bytes(c),
               b.shape->unit)
        .wait();
    read_cell = index;
  }
  return here;
}

// The cell of this rank in which element `at` of its shard of a trainable bucket lies.
std::size_t sharded_optimizer::state::cell_at(std::size_t index, std::uint64_t at) const noexcept {
  const auto cells = plan.cells_of(index);
  const auto* const after = std::upper_bound(
      cells.begin(), cells.end(), at,
      [](std::uint64_t element, const partition::cell& c) { return element < c.begin; });
  return buckets[index].plan->first_cell + static_cast<std::size_t>(after - cells.begin()) - 1;
}

// Master weights [at, at + count) of a cell, whole blocks, come to `out`, where the processor
// works.
void sharded_optimizer::state::unpack_masters(std::size_t index, std::uint64_t at,
                                              std::uint64_t count, float* out) {
  const partition::cell& c = plan.cells()[index];
  const bucket_storage& b = buckets[c.bucket];
  const typed_span shard = b.plan->parameter_tier == tier::device
                               ? parameters_over(c.bucket, b.plan->optimizer)
                               : parameters_to_read(c.bucket);
  const typed_span parameter = shard.part(c.begin + at, count);
  std::byte* const arrays = optimizer_to_read(index);
  optim::packed_spans weights = packed_weights(c, arrays, parameter);
  weights.count = count;
  weights.master = static_cast<std::byte*>(weights.master) + at * 2;
  if (!c.down) return work.unpack_master(weights, {out, count, dtype::fp32});
  std::vector<std::byte> narrow(parameter.bytes());
  std::vector<float> wide(count);
  work.read(parameter.data, narrow.data(), narrow.size());
  queue.record().wait();
  weights.parameter.data = narrow.data();
  tiers.host_work().unpack_master(weights, {wide.data(), count, dtype::fp32});
  work.write(wide.data(), out, count * sizeof(float));
  queue.record().wait();
}

// The values of `count` elements from element `at` of the bucket, all within one piece and one
// cell, on every rank, where the processor works: from this rank's own memory where all have them,
// else from one that holds them.
const float* sharded_optimizer::state::read_array(int number, std::size_t index, int piece,
                                                  std::uint64_t at, std::uint64_t count) {
  const bucket_storage& b = buckets[index];
  const bool weights = number == master_number;
  const bool apart = !weights || b.plan->master;  // else the parameters are the master weights
  const sharded_over over = apart ? b.plan->optimizer : b.plan->parameters;
  const int holder = piece / plan.groups().pieces_of(over);  // by its number among them
  const std::uint64_t in_shard =
      at - plan.elements(*b.shape, over) * static_cast<std::uint64_t>(holder);
  // Where it lies in its block of elements, alike on every rank, since cells are whole blocks.
  const std::uint64_t in_block = in_shard % b.shape->shard % optim::format_block;
  auto* const blocks = staging.as<float>();
  auto* const staged = blocks + in_block;
  const auto take = [&] {
    if (!apart) {
      return work.convert(parameters_to_read(index).part(in_shard, count),
                          {staged, count, dtype::fp32});
    }
    const std::size_t cell = cell_at(index, in_shard);
    const partition::cell& c = plan.cells()[cell];
    if (weights && packed_master(c)) {
      const std::uint64_t first = in_shard - c.begin - in_block;
      return unpack_masters(cell, first, round_up(in_block + count, optim::format_block), blocks);
    }
    const std::size_t array = weights ? 0 : static_cast<std::size_t>(number) + (c.master ? 1 : 0);
    const auto* const values =
        reinterpret_cast<const float*>(optimizer_to_read(cell) + plan.array_offset(c, array)) +
        (in_shard - c.begin);
    if (c.down) return work.write(values, staged, count * sizeof(float));
    work.convert({values, count, dtype::fp32}, {staged, count, dtype::fp32});
  };
  if (alone() || !is_sharded(over)) {
    take();
    return staged;
  }
  collectives::communicator& among = groups.over(plan.groups().gathers(over, sharded_over::nobody));
  if (holder == among.rank()) take();
  wait(among.broadcast({staged, count, dtype::fp32}, holder,
                       call_of("master", static_cast<int>(index))));
  return staged;
}

void sharded_optimizer::state::visit_array(int number, const take_function& take) {
  expect_whole();
  expect_no_early("stream_master");
  wait_published();
  if (plan.tier_of(tier_class::parameters) != tier::device) {
    // They are read through slots: on every rank, though some may find nothing of theirs to read.
    expect_none_held("stream_master");
    wait_gathered();
    forget_gathered();
  }
  const std::uint64_t cell = plan.tiers().any() ? plan.tiers().cell_elements : chunk_elements;
  for (const partition::placement& p : layout.parameters()) {
    if (p.storage != p.index || p.bucket == partition::no_bucket) continue;
    if (number != master_number && !layout.buckets()[p.bucket].trainable) continue;
    const std::uint64_t shard = layout.buckets()[p.bucket].shard;
    for (std::uint64_t done = 0; done < p.count;) {
      const std::uint64_t at = p.offset + done;
      const std::uint64_t piece = at / shard;
      // Alike on every rank: cells begin anew in every piece.
      const std::uint64_t in_cell = (at - piece * shard) % cell;
      const std::uint64_t count =
          std::min({p.count - done, (piece + 1) * shard - at, read_elements, cell - in_cell});
      const float* values = read_array(number, p.bucket, static_cast<int>(piece), at, count);
      if (host_staging) {
        work.read(values, host_values(), count * sizeof(float));
        values = host_values();
      }
      queue.record().wait();
      take(p.index, done, {values, count});
      done += count;
    }
  }
  read_cell = no_record;
}

}  // namespace zero
