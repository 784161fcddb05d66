#pragma once
// What the benchmarks of collectives share: ranks that are threads of this process, and the
// ceiling, memcpy by as many threads as cores.
//
// Bytes are counted as the algorithm must move them at least: (n + 1) * S for reduce_scatter (n
// buffers read, one shard of each rank written), 2 * n * S for all_gather (S bytes read and written
// by each of n ranks). `cpu_fraction` is the fraction by processor time instead of time on the
// clock, which other work on the machine disturbs less.

#include "measure/measure.hpp"

#include <zero/collectives/shared_memory.hpp>

#include <functional>
#include <memory>
#include <vector>

namespace zero::bench {

using collective =
    std::function<completion(collectives::communicator& ranks, typed_span full, typed_span shard)>;

// n ranks, each with a full buffer and a shard in shared memory.
class rank_threads {
 public:
  rank_threads(int size, std::size_t bytes, dtype type);
  // Queues on every rank, waits for all; in seconds.
  [[nodiscard]] double seconds_of(const collective& queue);

 private:
  collectives::shared_memory_world world_;
  std::vector<std::unique_ptr<collectives::communicator>> members_;
  std::vector<typed_span> full_;
  std::vector<typed_span> shard_;
};

// A case of state.range(0) ranks whose full buffer has `buffer_bytes`, S, and that moves `factor` *
// S bytes at least.
void against_copy(benchmark::State& state, std::size_t buffer_bytes, dtype type, double factor,
                  const collective& queue);

}  // namespace zero::bench
