#pragma once
// memory_plan: every byte one rank holds, by bucket and purpose. The planner prints it, the engine
// allocates exactly it, the statistics are compared with it.
//
// Pure arithmetic; equal shards make it the same on every rank.

#include <zero/base/memory_statistics.hpp>
#include <zero/base/span.hpp>
#include <zero/partition/allocation.hpp>
#include <zero/partition/group_map.hpp>
#include <zero/partition/layout.hpp>
#include <zero/partition/sharding_policy.hpp>
#include <zero/partition/slot_plan.hpp>
#include <zero/partition/tiering.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::partition {

struct plan_options {
  sharding_policy policy = {};
  bool wide_gradients = true;  // reduced gradients in fp32 whatever the parameters are
  // The update scales reduced gradients where they are, so that their type must be the same in a
  // world of one, where nothing else needs them wide.
  bool scaled_in_place = false;
  // Bytes of each optimizer array for a format_block of elements, master weights not counted: 512
  // is fp32.
  std::vector<std::uint32_t> optimizer_arrays = {512, 512};
  // And of the master weights that 16-bit parameters have apart; 0: none.
  std::uint32_t master_array = 512;
  int reductions = 1;           // of one unit's gradients between two updates, at most
  bool keep_gradients = false;  // full gradients are kept between those and reduced once
  int prefetch = 1;
  std::vector<int> forward_order;  // empty: every unit once, in order
  std::uint64_t page_bytes = 0;    // not 0: slots can be mapped, in whole pages of this size
  bool apart_from_host = false;    // the memory planned for is not the host's
  int quantized_gather = 0;        // bits of the codes sharded parameters are gathered in; 0: none
  int quantized_reduce = 0;        // and those gradients are reduced in
  // Ranks that such a reduction joins first, where the policy has no groups: equal runs of
  // consecutive ranks, one host's. Others than 2 to half the world: all ranks at once.
  int node_ranks = 0;
  partition::tiering tiers = {};
  // false: cells() and records() are empty, for plans of more than anybody lists; else the same.
  bool list_cells = true;
  // Units stand for others that nobody sees, so that each use gathers: no run is like that.
  bool sealed_units = false;
};

// Where a bucket's reduced gradient is found: the one piece this rank owns.
enum class reduced_in : unsigned char {
  nowhere,     // not trainable
  shard,       // in a buffer of its own
  own_piece,   // in this rank's piece of the full gradient, in its dtype
  full_front,  // at the front of the full gradient, in fp32, once all ranks have read it
  local,       // the full gradient is it: a world of one
  staged,      // in purpose::gradient_staging, until it has been spilled
};

// Where the update finds the reduced gradient of all that it walks: the shard of the optimizer.
enum class updated_from : unsigned char {
  nowhere,     // not trainable
  reduced,     // the reduced piece is all of it
  around,      // gathered in place: the reduced piece stands at its place in a run of them, which
               // begins where reduced_in says a lone piece would lie
  full_front,  // gathered to the front of the full gradient
  apart,       // gathered into purpose::gathered_gradient, in fp32
};

struct bucket_plan {
  sharded_over parameters = sharded_over::nobody;  // at rest
  sharded_over optimizer = sharded_over::nobody;   // and so what an update walks
  bool secondary = false;                          // has secondary parameters
  bool master = false;    // master weights apart from the parameters on every tier
  bool gathered = false;  // parameters are brought into a slot: sharded, or off the device, where
                          // a lone rank's whole shard is called one over the world
  tier parameter_tier = tier::device;
  // Where the reduced piece rests between reduction and update. Off the device it is in own_piece
  // (of what may be a slot), local or staged first, and spilled from there.
  tier gradient_tier = tier::device;
  std::size_t first_cell = 0;  // in memory_plan::cells()
  std::size_t cells = 0;
  std::size_t first_tally = 0;  // in memory_plan::tallies()
  std::size_t tallies = 0;
  bool full_gradient = false;  // rests in full; if not, it passes through a slot
  reduced_in reduced = reduced_in::nowhere;
  updated_from update = updated_from::nowhere;
  dtype reduced_type = dtype::fp32;
  int gather_bits = 0;  // of the codes it is gathered in; 0: as it is
  int reduce_bits = 0;
  std::uint64_t parameter_slot_offset = 0;   // bytes, in the unit's slot
  std::uint64_t parameter_codes_offset = 0;  // of all ranks, behind the bucket in the same slot
  std::uint64_t gradient_slot_offset = 0;
};

// Bytes each rank tells every other before an update: a sum, and what it is about to do with it.
inline constexpr std::uint64_t exchange_bytes = 24;

// Bytes of what they make of it: norm, scale, count of updates, verdict.
inline constexpr std::uint64_t decision_bytes = 32;

// Elements that the bytes of optimizer arrays are told for.
inline constexpr std::uint64_t format_block = 128;

// Bytes of the staging through which master weights are read out.
inline constexpr std::uint64_t staging_bytes = 256 * 1024;

class memory_plan {
 public:
  // Throws invalid_argument: what check(policy) refuses, bits other than 0, 4 and 8 (gathers: 0
  // and 8), codes of shards that are not whole blocks (quantized.hpp), node_ranks that do not
  // divide the world, reductions < 1, prefetch < 0, a forward_order that names a unit that does not
  // exist or leaves out one that has parameters; what check(tiering) refuses, and anything off the
  // device where shards are not multiples of 128 elements.
  memory_plan(const layout& of, plan_options options);

  [[nodiscard]] const plan_options& options() const noexcept { return options_; }
  // Who owns which pieces; of options().policy, resolved.
  [[nodiscard]] const group_map& groups() const noexcept { return groups_; }
  [[nodiscard]] span<const bucket_plan> buckets() const noexcept { return buckets_; }
  [[nodiscard]] span<const allocation> allocations() const noexcept { return allocations_; }

  // Gathers of one forward and one backward; the forward alone is the first half.
  [[nodiscard]] const slot_plan& parameter_slots() const noexcept { return parameter_slots_; }
  // Gradient buffers of one backward.
  [[nodiscard]] const slot_plan& gradient_slots() const noexcept { return gradient_slots_; }
  // Bytes of a unit's slot; 0 when it needs none.
  [[nodiscard]] span<const std::uint64_t> parameter_bytes() const noexcept {
    return parameter_bytes_;
  }
  [[nodiscard]] span<const std::uint64_t> gradient_bytes() const noexcept {
    return gradient_bytes_;
  }

  // Reductions in codes go within groups() first and then across; else over all ranks at once.
  [[nodiscard]] bool reduces_in_levels() const noexcept;

  // Elements of one rank's shard of a bucket.
  [[nodiscard]] std::uint64_t elements(const bucket& b, sharded_over over) const noexcept;

  // ---- what is off the device ----
  [[nodiscard]] const tiering& tiers() const noexcept { return options_.tiers; }
  [[nodiscard]] span<const cell> cells() const noexcept { return cells_; }
  // How many cells of which kind, by bucket; a few for each.
  [[nodiscard]] span<const cell_tally> tallies() const noexcept { return tallies_; }
  [[nodiscard]] span<const cell> cells_of(std::size_t bucket) const noexcept;
  // Bytes of each record of a class; none where it has none.
  [[nodiscard]] const std::vector<std::uint64_t>& records(tier_class of) const noexcept {
    return records_[static_cast<std::size_t>(of)];
  }
  // device where a class has no records.
  [[nodiscard]] tier tier_of(tier_class of) const noexcept;
  // Of a reduced piece that is added to what was spilled before it; the first of a step lands as
  // the bucket's reduced_type.
  [[nodiscard]] dtype added_type(const bucket_plan& b) const noexcept;
  // Whether who updates the cell (the host one that is down, the device others) works on what rests
  // there as it rests; else it is brought into the cell's block.
  [[nodiscard]] bool reached(tier rests, const cell& by) const noexcept;
  // Optimizer arrays of a cell, in order: master weights if it has them apart, then the states.
  // Array i begins at array_offset(c, i) from where the cell's arrays begin, on whatever tier.
  [[nodiscard]] std::uint64_t array_offset(const cell& c, std::size_t array) const noexcept;
  [[nodiscard]] std::uint64_t array_bytes(const cell& c) const noexcept;  // of all; frozen: 0
  // Blocks in which cells are worked on: those that are down in host memory, others on the device.
  [[nodiscard]] const cell_block& host_block() const noexcept { return host_block_; }
  [[nodiscard]] const cell_block& device_block() const noexcept { return device_block_; }

  // Bytes by account. Their sum without the disk is the peak too, since all is allocated at the
  // start and kept.
  [[nodiscard]] memory_by_account bytes() const noexcept;
  [[nodiscard]] std::uint64_t peak() const noexcept;

 private:
  struct share_so_far;

  void plan_bucket(const layout& of, std::size_t index);
  void plan_reduction(const bucket& b, bucket_plan& plan, bool alone) const;
  void plan_slots(const layout& of);
  void plan_storage(const layout& of);
  void plan_transients(const layout& of);
  [[nodiscard]] bool reduced_repeatedly() const noexcept;
  [[nodiscard]] bool optimizer_goes_down() const noexcept;
  void plan_cells(const layout& of);
  void cut(const bucket& b, std::size_t index, share_so_far& share);
  void choose_down(const bucket& b, cell& c, share_so_far& share) const;
  void count(const cell& c, std::uint64_t times);
  void number_records(const layout& of);
  [[nodiscard]] std::uint64_t record_bytes(tier_class what, const layout& of,
                                           const cell& c) const noexcept;
  void plan_blocks(const layout& of);
  void plan_tiers(const layout& of);
  [[nodiscard]] std::uint64_t bounce_bytes(const layout& of) const noexcept;
  [[nodiscard]] std::uint64_t array_block(const cell& c, std::size_t array) const noexcept;
  void add(purpose what, std::size_t index, memory_account account, std::uint64_t payload,
           std::uint64_t padding = 0);
  void add_optimizer(const bucket& b, std::size_t index);
  void add_shard(purpose what, std::size_t index, memory_account account, const bucket& b,
                 sharded_over over, std::uint64_t bytes_each);

  plan_options options_;
  sharding_policy policy_;  // resolved
  group_map groups_;
  std::vector<bucket_plan> buckets_;
  std::vector<allocation> allocations_;
  std::vector<std::uint64_t> parameter_bytes_;
  std::vector<std::uint64_t> gradient_bytes_;
  slot_plan parameter_slots_;
  slot_plan gradient_slots_;
  std::vector<cell> cells_;
  std::vector<cell_tally> tallies_;
  std::array<bool, tier_class_count> has_records_{};
  std::array<std::vector<std::uint64_t>, tier_class_count> records_;
  cell_block host_block_;
  cell_block device_block_;
};

}  // namespace zero::partition
#pragma GCC visibility pop
