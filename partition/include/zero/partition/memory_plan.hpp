#pragma once
// memory_plan: every byte one rank holds, by bucket and purpose. The planner prints it, the engine
// allocates exactly it, the statistics are compared with it.
//
// Pure arithmetic; equal shards make it the same on every rank.

#include <zero/base/memory_statistics.hpp>
#include <zero/base/span.hpp>
#include <zero/partition/group_map.hpp>
#include <zero/partition/layout.hpp>
#include <zero/partition/sharding_policy.hpp>
#include <zero/partition/slot_plan.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero::partition {

struct plan_options {
  sharding_policy policy = {};
  bool wide_gradients = true;   // reduced gradients in fp32 whatever the parameters are
  int optimizer_states = 2;     // fp32 arrays per trainable element, master weights not counted
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
};

// Where a bucket's reduced gradient is found: the one piece this rank owns.
enum class reduced_in : unsigned char {
  nowhere,     // not trainable
  shard,       // in a buffer of its own
  own_piece,   // in this rank's piece of the full gradient, in its dtype
  full_front,  // at the front of the full gradient, in fp32, once all ranks have read it
  local,       // the full gradient is it: a world of one
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
  sharded_over parameters = sharded_over::nobody;  // at rest; sharded ones are gathered into slots
  sharded_over optimizer = sharded_over::nobody;   // and so what an update walks
  bool secondary = false;                          // has secondary parameters
  bool master = false;                             // fp32 master weights apart from the parameters
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

enum class purpose : unsigned char {
  parameter,       // index: bucket
  gradient,        // index: bucket; full
  gradient_shard,  // index: bucket; reduced
  optimizer,       // index: bucket; master weights if any, then states, each as long as a shard
  secondary_parameter,  // index: bucket; accounted as parameters, since it rests
  parameter_slot,       // index: slot
  gradient_slot,        // index: slot
  reduced_staging,    // index: 0 or 1; a reduced shard on its way to the front of the full gradient
  reduction_codes,    // index: 0 or 1; the codes of a bucket's gradients, sent, then received
  gathered_gradient,  // one full bucket of reduced gradients in fp32
  exchange,           // what is made of the scalars of all ranks, then those
  staging,            // pieces of master weights on their way
  host_staging,       // the same in host memory, where that is apart, and what is read back
};

struct allocation {
  purpose what = purpose::parameter;
  std::size_t index = 0;
  memory_account account = memory_account::buffers;
  std::uint64_t payload = 0;  // bytes
  std::uint64_t padding = 0;  // bytes, accounted as buffers
};

// Bytes each rank tells every other before an update: a sum, and what it is about to do with it.
inline constexpr std::uint64_t exchange_bytes = 16;

// Bytes of what they make of it: norm, scale, count of updates, verdict.
inline constexpr std::uint64_t decision_bytes = 32;

// Bytes of the staging through which master weights are read out.
inline constexpr std::uint64_t staging_bytes = 256 * 1024;

class memory_plan {
 public:
  // Throws invalid_argument: what check(policy) refuses, bits other than 0, 4 and 8 (gathers: 0
  // and 8), codes of shards that are not whole blocks (quantized.hpp), node_ranks that do not
  // divide the world, reductions < 1, prefetch < 0, a forward_order that names a unit that does not
  // exist or leaves out one that has parameters.
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

  // Bytes by account; their sum is the peak too, since all is allocated at the start and kept.
  [[nodiscard]] memory_by_account bytes() const noexcept;
  [[nodiscard]] std::uint64_t peak() const noexcept;

 private:
  void plan_bucket(const layout& of, std::size_t index);
  void plan_reduction(const bucket& b, bucket_plan& plan, bool alone) const;
  void plan_slots(const layout& of);
  void plan_storage(const layout& of);
  void plan_transients(const layout& of);
  void add(purpose what, std::size_t index, memory_account account, std::uint64_t payload,
           std::uint64_t padding = 0);
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
};

}  // namespace zero::partition
