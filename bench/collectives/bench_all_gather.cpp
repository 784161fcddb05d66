// bench_all_gather: all_gather over shared memory against what this machine can copy. --bytes is of
// a rank's full buffer.
#include "collectives/rank_threads.hpp"

namespace zero::bench {
namespace {

void register_cases(const settings& s) {
  const auto run = [s](benchmark::State& state) {
    const double n = static_cast<double>(state.range(0));
    against_copy(state, s.bytes, dtype::fp32, 2 * n,
                 [](collectives::communicator& ranks, typed_span full, typed_span shard) {
                   return ranks.all_gather(shard, full);
                 });
  };
  in_turns(benchmark::RegisterBenchmark("all_gather/fp32", run)
               ->ArgName("ranks")
               ->Arg(2)
               ->Arg(4)
               ->Arg(8),
           s);
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 64 << 20, "/var/tmp"}, zero::bench::register_cases);
}
