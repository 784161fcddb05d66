#pragma once
// collective_buffers: what ranks put into a collective, and what must come out. Ours and MPI's
// programs share it; torch_collectives.py states the same formula.
//
// Rank r contributes (r + 1) * v[i]; v has 16 bits, so sums over few ranks are exact in any order.

#include "peers/turns.hpp"

#include <cstddef>

namespace zero::bench {

struct collective_buffers {
  int rank;
  int size;
  std::size_t count;  // elements of a rank's shard

  static float value(std::size_t i) { return made_up(i, 2654435761U, 0x1p-8F); }

  void fill(float* full) const {
    for (std::size_t i = 0; i < count * static_cast<std::size_t>(size); ++i) {
      full[i] = static_cast<float>(rank + 1) * value(i);
    }
  }
  // Of a reduce_scatter's result and of an all_gather of it, on every rank.
  [[nodiscard]] std::size_t wrong(const float* sum, const float* all) const {
    const auto factor = static_cast<float>(size * (size + 1) / 2);
    std::size_t found = 0;
    for (std::size_t i = 0; i < count * static_cast<std::size_t>(size); ++i) {
      found += all[i] != factor * value(i);
    }
    const std::size_t begin = count * static_cast<std::size_t>(rank);
    for (std::size_t i = 0; i < count; ++i) found += sum[i] != factor * value(begin + i);
    return found;
  }
};

}  // namespace zero::bench
