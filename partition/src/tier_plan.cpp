// What of a plan is off the device: cells and where their arrays lie, their records, the blocks in
// which they are worked on, and what is allocated for all of it.

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/partition/memory_plan.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace zero::partition {
namespace {

// Arrays and the cells of a bucket on the device begin at multiples of a cache line.
constexpr std::uint64_t array_grain = 64;
// Parts of blocks can be transferred from and to a disk.
constexpr std::uint64_t part_grain = 4096;
// fp32 master weights of fp32 parameters that rest elsewhere than their states.
constexpr std::uint64_t wide_master = format_block * size_of(dtype::fp32);

bool off(tier t) { return t != tier::device; }

// Appends a part to a block.
void lay(cell_block& block, cell_block::part& part, std::uint64_t bytes) {
  part = {block.bytes, round_up(bytes, part_grain)};
  block.bytes += part.bytes;
}

std::size_t add_record(std::vector<std::uint64_t>& records, std::uint64_t bytes) {
  records.push_back(bytes);
  return records.size() - 1;
}

}  // namespace

bool memory_plan::reduced_repeatedly() const noexcept {
  return options_.reductions > 1 && !options_.keep_gradients;
}

dtype memory_plan::added_type(const bucket_plan& b) const noexcept {
  return reduced_repeatedly() ? dtype::fp32 : b.reduced_type;
}

bool memory_plan::optimizer_goes_down() const noexcept {
  return off(options_.tiers.optimizer) && options_.tiers.optimizer_ratio > 0;
}

span<const cell> memory_plan::cells_of(std::size_t bucket) const noexcept {
  const bucket_plan& plan = buckets_[bucket];
  return {cells_.data() + plan.first_cell, plan.cells};
}

tier memory_plan::tier_of(tier_class of) const noexcept {
  if (!has_records_[static_cast<std::size_t>(of)]) return tier::device;
  switch (of) {
    case tier_class::optimizer:
      return options_.tiers.optimizer;
    case tier_class::gradients:
      return gradient_tier(options_.tiers, policy_);
    case tier_class::parameters:
      return options_.tiers.parameters;
  }
  return tier::device;
}

bool memory_plan::reached(tier rests, const cell& by) const noexcept {
  if (rests == tier::disk) return false;
  return !options_.apart_from_host || rests == (by.down ? tier::host : tier::device);
}

// ---- the arrays of a cell ----

std::uint64_t memory_plan::array_block(const cell& c, std::size_t array) const noexcept {
  if (!c.master) return options_.optimizer_arrays[array];
  if (array > 0) return options_.optimizer_arrays[array - 1];
  return buckets_[c.bucket].master ? options_.master_array : wide_master;
}

std::uint64_t memory_plan::array_offset(const cell& c, std::size_t array) const noexcept {
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < array; ++i) {
    const std::uint64_t bytes = (c.count * array_block(c, i) + format_block - 1) / format_block;
    at += round_up(bytes, array_grain);
  }
  return at;
}

std::uint64_t memory_plan::array_bytes(const cell& c) const noexcept {
  if (buckets_[c.bucket].update == updated_from::nowhere) return 0;
  return array_offset(c, options_.optimizer_arrays.size() + (c.master ? 1 : 0));
}

// ---- cells ----

// Bytes of the cells so far of which some may go down, and of those that do.
struct memory_plan::share_so_far {
  std::uint64_t seen = 0;
  std::uint64_t down = 0;
};

void memory_plan::plan_cells(const layout& of) {
  if (options_.tiers.any() && of.options().alignment % format_block != 0) {
    throw invalid_argument("[partition.memory_plan] shards aligned to " +
                           std::to_string(of.options().alignment) +
                           " elements cannot be cut into cells");
  }
  share_so_far share;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    buckets_[i].first_cell = cells_.size();
    buckets_[i].first_tally = tallies_.size();
    cut(of.buckets()[i], i, share);
    buckets_[i].cells = cells_.size() - buckets_[i].first_cell;
    buckets_[i].tallies = tallies_.size() - buckets_[i].first_tally;
  }
  number_records(of);
}

void memory_plan::cut(const bucket& b, std::size_t index, share_so_far& share) {
  const bucket_plan& plan = buckets_[index];
  const sharded_over over = b.trainable ? plan.optimizer : plan.parameters;
  const bool goes_down = b.trainable && optimizer_goes_down();
  const bool any_off = off(plan.parameter_tier) || off(plan.gradient_tier) || goes_down;
  const std::uint64_t all = elements(b, over);
  // Where nothing is off, one cell across pieces.
  const std::uint64_t piece = any_off ? b.shard : all;
  const std::uint64_t most = any_off ? options_.tiers.cell_elements : all;
  if (all == 0 || (!any_off && !b.trainable)) return;
  cell next;
  next.bucket = index;
  if (!options_.list_cells && (!goes_down || options_.tiers.optimizer_ratio >= 1)) {
    // Cells of one size are alike.
    const std::uint64_t pieces = all / piece;
    for (const auto& [elements, times] :
         {std::pair{most, pieces * (piece / most)}, std::pair{piece % most, pieces}}) {
      next.count = elements;
      if (elements == 0 || times == 0) continue;
      choose_down(b, next, share);
      count(next, times);
    }
    return;
  }
  while (next.begin < all) {
    next.count = std::min(piece - next.begin % piece, most);
    choose_down(b, next, share);
    count(next, 1);
    if (options_.list_cells) cells_.push_back(next);
    next.begin += next.count;
  }
}

// Each cell is weighed by what would rest of it below the device.
void memory_plan::choose_down(const bucket& b, cell& c, share_so_far& share) const {
  const bucket_plan& plan = buckets_[c.bucket];
  c.down = false;
  if (!b.trainable) return;
  c.master = plan.master;
  if (!optimizer_goes_down()) return;
  // So that its gradients go down and its parameters come up, and nothing else crosses.
  c.master = plan.master || (b.type == dtype::fp32 && !off(plan.parameter_tier));
  const std::uint64_t bytes = array_bytes(c);
  share.seen += bytes;
  // down + bytes is no further from the share than down is. What has no bytes rests nowhere.
  const double ratio = options_.tiers.optimizer_ratio;
  c.down = bytes > 0 &&
           (ratio >= 1 || 2.0 * static_cast<double>(share.down) + static_cast<double>(bytes) <=
                              2.0 * ratio * static_cast<double>(share.seen));
  if (c.down) {
    share.down += bytes;
  } else {
    c.master = plan.master;
  }
}

void memory_plan::count(const cell& c, std::uint64_t times) {
  for (std::size_t i = buckets_[c.bucket].first_tally; i < tallies_.size(); ++i) {
    const cell& each = tallies_[i].each;
    if (each.count != c.count || each.down != c.down) continue;
    tallies_[i].times += times;
    return;
  }
  cell each = c;
  each.begin = 0;
  tallies_.push_back({each, times});
}

// 0 where the cell has no record of that class.
std::uint64_t memory_plan::record_bytes(tier_class what, const layout& of,
                                        const cell& c) const noexcept {
  const bucket_plan& plan = buckets_[c.bucket];
  switch (what) {
    case tier_class::optimizer:
      return c.down ? array_bytes(c) : 0;
    case tier_class::gradients:
      return off(plan.gradient_tier) ? c.count * size_of(plan.reduced_type) : 0;
    case tier_class::parameters:
      return off(plan.parameter_tier) ? c.count * size_of(of.buckets()[c.bucket].type) : 0;
  }
  return 0;
}

void memory_plan::number_records(const layout& of) {
  for (std::size_t i = 0; i < tier_class_count; ++i) {
    has_records_[i] = std::any_of(tallies_.begin(), tallies_.end(), [&](const cell_tally& t) {
      return record_bytes(static_cast<tier_class>(i), of, t.each) > 0;
    });
  }
  std::uint64_t at = 0;
  for (cell& c : cells_) {
    if (c.begin == 0) at = 0;
    if (!c.down && of.buckets()[c.bucket].trainable) {
      c.at = at;
      at += array_bytes(c);
    }
    const auto number = [&](tier_class what) {
      const std::uint64_t bytes = record_bytes(what, of, c);
      return bytes == 0 ? no_record : add_record(records_[static_cast<std::size_t>(what)], bytes);
    };
    c.optimizer_record = number(tier_class::optimizer);
    c.gradient_record = number(tier_class::gradients);
    c.parameter_record = number(tier_class::parameters);
  }
}

// ---- memory ----

void memory_plan::plan_blocks(const layout& of) {
  std::uint64_t optimizer = 0;
  cell_block::part host_gradient;
  cell_block::part host_parameter;
  cell_block::part device_gradient;
  cell_block::part device_parameter;
  const auto grow = [](cell_block::part& part, std::uint64_t bytes) {
    part.bytes = std::max(part.bytes, bytes);
  };
  for (const cell_tally& t : tallies_) {
    const cell& c = t.each;
    const bucket& b = of.buckets()[c.bucket];
    const bucket_plan& plan = buckets_[c.bucket];
    if (!b.trainable) continue;  // is not worked on
    const std::uint64_t gradient = c.count * size_of(plan.reduced_type);
    const std::uint64_t parameter = c.count * size_of(b.type);
    if (c.down) {
      if (options_.tiers.optimizer == tier::disk) optimizer = std::max(optimizer, array_bytes(c));
      if (!reached(plan.gradient_tier, c)) grow(host_gradient, gradient);
      if (!reached(plan.parameter_tier, c)) grow(host_parameter, parameter);
    } else {
      if (!reached(plan.gradient_tier, c)) grow(device_gradient, gradient);
      if (!reached(plan.parameter_tier, c)) grow(device_parameter, parameter);
    }
  }
  lay(host_block_, host_block_.optimizer, optimizer);
  lay(host_block_, host_block_.gradient, host_gradient.bytes);
  lay(host_block_, host_block_.parameter, host_parameter.bytes);
  lay(device_block_, device_block_.gradient, device_gradient.bytes);
  lay(device_block_, device_block_.parameter, device_parameter.bytes);
}

// Of one bounce: a record of a disk, or what is added to a record of any tier.
std::uint64_t memory_plan::bounce_bytes(const layout& of) const noexcept {
  std::uint64_t most = 0;
  for (const cell_tally& t : tallies_) {
    const cell& c = t.each;
    const bucket_plan& plan = buckets_[c.bucket];
    if (plan.gradient_tier == tier::disk) {
      most = std::max(most, c.count * size_of(plan.reduced_type));
    }
    if (off(plan.gradient_tier) && reduced_repeatedly()) {
      most = std::max(most, c.count * size_of(added_type(plan)));
    }
    if (plan.parameter_tier == tier::disk) {
      most = std::max(most, c.count * size_of(of.buckets()[c.bucket].type));
    }
  }
  return round_up(most, part_grain);
}

void memory_plan::plan_tiers(const layout& of) {
  plan_blocks(of);
  const auto buffers = memory_account::buffers;
  std::uint64_t staged = 0;
  bool any_gradient = false;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const bucket_plan& plan = buckets_[i];
    any_gradient = any_gradient || off(plan.gradient_tier);
    if (plan.reduced != reduced_in::staged) continue;
    const std::uint64_t wider = std::max(size_of(added_type(plan)), size_of(plan.reduced_type));
    staged = std::max(staged, of.buckets()[i].shard * wider);
  }
  if (any_gradient) add(purpose::squares, 0, buffers, buckets_.size() * sizeof(double));
  for (std::size_t i = 0; i < 2; ++i) add(purpose::gradient_staging, i, buffers, staged);
  for (std::size_t i = 0; i < static_cast<std::size_t>(options_.tiers.depth); ++i) {
    add(purpose::cell_device, i, buffers, device_block_.bytes);
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(options_.tiers.depth); ++i) {
    add(purpose::cell_host, i, memory_account::host, host_block_.bytes);
  }
  add(purpose::bounce, 0, memory_account::host,
      static_cast<std::uint64_t>(options_.tiers.bounces) * bounce_bytes(of));
  for (std::size_t i = 0; i < tier_class_count; ++i) {
    const auto what = static_cast<tier_class>(i);
    const tier rests = tier_of(what);
    std::uint64_t total = 0;
    for (const cell_tally& t : tallies_) {
      total += t.times * round_up(record_bytes(what, of, t.each), tier_alignment(rests));
    }
    add(purpose::tier_records, i, rests == tier::disk ? memory_account::disk : memory_account::host,
        total);
  }
}

}  // namespace zero::partition
