// bench_reduce_scatter: reduce_scatter over shared memory against what this machine can copy.
// --bytes is of a rank's full buffer.
#include "collectives/rank_threads.hpp"

namespace zero::bench {
namespace {

void register_cases(const settings& s) {
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    const auto run = [type, s](benchmark::State& state) {
      const double n = static_cast<double>(state.range(0));
      against_copy(state, s.bytes, type, n + 1,
                   [](collectives::communicator& ranks, typed_span full, typed_span shard) {
                     return ranks.reduce_scatter(full, shard);
                   });
    };
    const std::string name = std::string("reduce_scatter/") + name_of(type);
    auto* const b = benchmark::RegisterBenchmark(name.c_str(), run)->ArgName("ranks")->Arg(4);
    if (type == dtype::fp32) b->Arg(2)->Arg(8);
    in_turns(b, s);
  }
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 64 << 20, "/var/tmp"}, zero::bench::register_cases);
}
