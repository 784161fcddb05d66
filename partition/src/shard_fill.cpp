#include "shard_fill.hpp"

#include "validation.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

namespace zero::partition {
namespace {

// Neither sum overflows: a load and an alignment are at most 2^62 each.
std::uint64_t shard_for(std::uint64_t largest_load, const layout_options& options) {
  const std::uint64_t shard = round_up(largest_load, options.alignment);
  if (shard > max_elements / static_cast<std::uint64_t>(options.world_size)) {
    throw invalid_argument("padded to " + std::to_string(options.world_size) + " shards of " +
                           std::to_string(shard) + " elements it is over 2^62 elements");
  }
  return shard;
}

shard_fill fill_flat(span<const std::uint64_t> counts, const layout_options& options) {
  shard_fill fill;
  for (const std::uint64_t count : counts) {
    fill.offsets.push_back(fill.payload);
    fill.payload += count;
  }
  const auto ranks = static_cast<std::uint64_t>(options.world_size);
  fill.shard = shard_for(round_up(fill.payload, ranks) / ranks, options);
  return fill;
}

// Longest processing time first (Graham, 1969): at most 4/3 - 1/(3 ranks) of the best maximum.
shard_fill fill_whole(span<const std::uint64_t> counts, const layout_options& options) {
  std::vector<std::size_t> largest_first(counts.size());
  std::iota(largest_first.begin(), largest_first.end(), std::size_t{0});
  std::stable_sort(largest_first.begin(), largest_first.end(),
                   [&](std::size_t a, std::size_t b) { return counts[a] > counts[b]; });

  // The lowest empty rank is always taken first, so ranks beyond the count of parameters stay
  // empty and need not be kept.
  using load_and_rank = std::pair<std::uint64_t, std::uint64_t>;
  std::priority_queue<load_and_rank, std::vector<load_and_rank>, std::greater<>> least_loaded;
  const auto world = static_cast<std::uint64_t>(options.world_size);
  const std::uint64_t used = std::min<std::uint64_t>(world, counts.size());
  for (std::uint64_t rank = 0; rank < used; ++rank) least_loaded.emplace(0, rank);

  shard_fill fill;
  fill.offsets.resize(counts.size());
  std::vector<std::uint64_t> owner(counts.size());
  std::uint64_t largest_load = 0;
  for (const std::size_t i : largest_first) {
    const auto [load, rank] = least_loaded.top();
    least_loaded.pop();
    fill.offsets[i] = load;
    owner[i] = rank;
    fill.payload += counts[i];
    largest_load = std::max(largest_load, load + counts[i]);
    least_loaded.emplace(load + counts[i], rank);
  }
  fill.shard = shard_for(largest_load, options);
  for (std::size_t i = 0; i < counts.size(); ++i) fill.offsets[i] += owner[i] * fill.shard;
  return fill;
}

}  // namespace

shard_fill fill_shards(span<const std::uint64_t> counts, const layout_options& options) {
  return options.kind == layout_kind::whole ? fill_whole(counts, options)
                                            : fill_flat(counts, options);
}

}  // namespace zero::partition
