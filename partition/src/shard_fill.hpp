#pragma once
// Where the parameters of one bucket go inside it. Pure functions of counts; elements throughout.

#include <zero/base/span.hpp>
#include <zero/partition/layout.hpp>

#include <cstdint>
#include <vector>

namespace zero::partition {

struct shard_fill {
  std::vector<std::uint64_t> offsets;  // in the bucket, one a parameter, in the order given
  std::uint64_t payload = 0;
  std::uint64_t shard = 0;
};

// `counts`: elements of each parameter in registration order, none 0, 2^62 together at most.
// Throws invalid_argument when the padded bucket exceeds 2^62 elements. Time n log n and memory n
// in the count of parameters, whatever the number of ranks.
[[nodiscard]] shard_fill fill_shards(span<const std::uint64_t> counts,
                                     const layout_options& options);

}  // namespace zero::partition
