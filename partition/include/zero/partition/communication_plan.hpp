#pragma once
// communication_plan: every collective operation of one step, from which traffic is predicted. The
// engine queues exactly these.
//
// Pure arithmetic; the same on every rank. A step is what lies between two applied updates, with
// units used in the declared order, each released before the next is gathered; passes that only
// evaluate are not in it. A world of one says nothing to anybody.

#include <zero/partition/layout.hpp>
#include <zero/partition/memory_plan.hpp>

#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::partition {

// What an operation is for, in the order of a step.
enum class transfer : unsigned char {
  gather,        // parameters into a slot, all_gather
  gather_again,  // the same from secondary parameters
  reduce,        // full gradients into the own piece, reduce_scatter; or their codes, all_to_all
  reduce_on,     // the codes of those sums on to the other groups, all_to_all
  exchange,      // reduced pieces to all that update by them, all_gather
  vote,          // exchange_bytes from each rank to all, all_gather
  publish,       // updated parameters to all that hold them, all_gather
};
[[nodiscard]] const char* name_of(transfer what) noexcept;

// How bytes travel for it.
enum class collective : unsigned char { all_gather, reduce_scatter, all_to_all };

struct planned_operation {
  transfer what = transfer::gather;
  rank_group among = rank_group::world;
  int ranks = 1;                   // that take part in it
  std::size_t bucket = no_bucket;  // of the layout; no_bucket for a vote
  std::uint64_t count = 0;         // elements of the full buffer: `ranks` equal pieces
  dtype type = dtype::fp32;        // of the full buffer; byte for codes
  dtype shard_type = dtype::fp32;  // of one rank's piece; wider only in a sum
  std::uint64_t times = 0;         // in a step

  [[nodiscard]] std::uint64_t bytes() const noexcept { return count * size_of(type); }
  [[nodiscard]] collective kind() const noexcept;
};

// Bytes of one rank, the full buffer of each operation, as nccl-tests counts them.
struct communication_volume {
  std::uint64_t all_gather = 0;
  std::uint64_t reduce_scatter = 0;
  std::uint64_t all_to_all = 0;
  std::uint64_t calls = 0;
};

struct communication_plan {
  std::vector<planned_operation> operations;  // by bucket, then as in `transfer`; times >= 1

  [[nodiscard]] communication_volume step() const noexcept;
};

// micro_batches: forwards and backwards in a step, each reducing every unit once; 1 to
// plan.options().reductions, or invalid_argument.
[[nodiscard]] communication_plan plan_communication(const layout& of, const memory_plan& plan,
                                                    int micro_batches);

}  // namespace zero::partition
#pragma GCC visibility pop
