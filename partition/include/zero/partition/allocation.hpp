#pragma once
// allocation: one block of memory of a rank, and what it is for.
//
// Plain values.

#include <zero/base/memory_statistics.hpp>

#include <cstddef>
#include <cstdint>

#pragma GCC visibility push(default)
namespace zero::partition {

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
  squares,            // the sum of squares of each bucket's reduced piece, where those are spilled
  gradient_staging,   // index: 0 or 1; a reduced piece on its way down a tier
  cell_device,   // index: of cells under way; what is worked on on the device of what rests below
  cell_host,     // index: of cells under way; what is worked on in host memory
  bounce,        // all bounces, back to back: records on their way between a tier and the device
  tier_records,  // index: tier_class; all records of a class that rests off the device
};

// The classes of model state, as stores of records have them.
enum class tier_class : unsigned char { optimizer, gradients, parameters };
inline constexpr std::size_t tier_class_count = 3;

// Where the parts of a cell under way begin in its block, bytes from the block's beginning, each
// a multiple of a disk's alignment; a part that is not needed there has `bytes` 0.
struct cell_block {
  struct part {
    std::uint64_t at = 0;
    std::uint64_t bytes = 0;
  };
  part optimizer;           // the record of a tier that must be read
  part gradient;            // what is reduced, if it is not where the work is done
  part parameter;           // likewise
  std::uint64_t bytes = 0;  // of all
};

struct allocation {
  purpose what = purpose::parameter;
  std::size_t index = 0;
  memory_account account = memory_account::buffers;
  std::uint64_t payload = 0;  // bytes
  std::uint64_t padding = 0;  // bytes, accounted as buffers
};

}  // namespace zero::partition
#pragma GCC visibility pop
