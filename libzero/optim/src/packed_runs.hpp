#pragma once
// How the runs of packed.hpp reach the threads of a device: cut into launches on the host, found by
// element there. Index arithmetic alone, the same on the host.

#include "update_scalars.hpp"

#include <zero/optim/packed.hpp>

#include <cstddef>
#include <cstdint>

namespace zero::optim::detail {

// A run as the threads of a device know it.
struct run_scalars {
  std::uint64_t begin = 0, end = 0;  // elements
  update_scalars k = {};
};

// Runs that one launch takes along, as its arguments: more than can begin in one block.
inline constexpr std::size_t most_runs = 160;

struct run_batch {
  std::uint64_t first_block = 0, end_block = 0;  // what the launch works on
  unsigned count = 0;
  update_run runs[most_runs];  // every one that is not empty and reaches into those blocks
};

// The next launch: from runs[next] and block `block` on. Moves both to where the one after begins;
// a batch of 0 runs is the end.
inline void next_batch(span<const update_run> runs, std::size_t& next, std::uint64_t& block,
                       run_batch& batch) noexcept {
  batch.count = 0;
  while (next < runs.size() &&
         (runs[next].count == 0 || runs[next].offset + runs[next].count <= block * format_block)) {
    ++next;
  }
  if (next == runs.size()) return;
  std::size_t after = next;
  for (; after < runs.size() && batch.count < most_runs; ++after) {
    if (runs[after].count > 0) batch.runs[batch.count++] = runs[after];
  }
  while (after < runs.size() && runs[after].count == 0) ++after;
  const update_run& first = batch.runs[0];
  const update_run& last = batch.runs[batch.count - 1];
  const std::uint64_t from = first.offset / format_block;
  batch.first_block = from > block ? from : block;
  batch.end_block = after < runs.size()
                        ? runs[after].offset / format_block
                        : (last.offset + last.count + format_block - 1) / format_block;
  block = batch.end_block;
}

// The run that element i is in, of `count` that ascend; count: none.
[[nodiscard]] ZERO_HOST_DEVICE inline unsigned run_of(const run_scalars* runs, unsigned count,
                                                      std::uint64_t i) noexcept {
  unsigned low = 0;
  unsigned high = count;
  while (low < high) {  // the first run that ends behind i
    const unsigned middle = (low + high) / 2;
    if (runs[middle].end > i) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low < count && runs[low].begin <= i ? low : count;
}

}  // namespace zero::optim::detail
