// Our side of the collectives, over shared memory: fp32 sums and copies of a full buffer.
//   zero launch --ranks N -- peer_collectives BYTES   with ZERO_PEERS_TURNS
// Words: reduce_scatter, all_gather, and wrong, which counts elements of the last results that
// differ from what their formula says.
#include "peers/collective_buffers.hpp"
#include "peers/turns.hpp"

#include <zero/collectives/shared_memory.hpp>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  using namespace zero;
  try {
    const int rank = bench::number_of("RANK", 0), arena = bench::number_of("ZERO_ARENA_FD", -1);
    if (argc != 2 || arena < 0) throw std::runtime_error("run it as zero launch -- peer_... BYTES");
    auto world = collectives::shared_memory_world::attach(arena);
    const auto own = world.join(rank);
    const auto n = static_cast<std::size_t>(own->size());
    const std::size_t count = std::stoull(argv[1]) / 4 / n;
    const typed_span full{own->memory().allocate(count * n * 4), count * n, dtype::fp32};
    const typed_span all{own->memory().allocate(count * n * 4), count * n, dtype::fp32};
    const typed_span sum{own->memory().allocate(count * 4), count, dtype::fp32};
    const bench::collective_buffers check{rank, own->size(), count};
    check.fill(static_cast<float*>(full.data));
    bench::turns(rank).serve([&](const std::string& word) -> nlohmann::json {
      if (word == "wrong") {
        return {{"wrong", check.wrong(static_cast<const float*>(sum.data),
                                      static_cast<const float*>(all.data))}};
      }
      own->barrier().wait();
      return bench::seconds_of_turn([&] {
        (word == "all_gather" ? own->all_gather(sum, all) : own->reduce_scatter(full, sum)).wait();
      });
    });
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "peer_collectives: %s\n", problem.what());
    return 1;
  }
  return 0;
}
