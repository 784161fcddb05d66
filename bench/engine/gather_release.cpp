// What the engine costs when there is nothing to move: the host time of a gather and its release,
// beside the cost of the two clock readings each of them makes for the reports.

#include <zero/collectives/single.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <benchmark/benchmark.h>

#include <string>

namespace zero {
namespace {

partition::model_spec blocks(int units) {
  partition::model_spec model;
  for (int u = 0; u < units; ++u) {
    partition::parameter_spec weight;
    weight.name = "h." + std::to_string(u) + ".weight";
    weight.shape = {64, 64};
    model.units.push_back({"h." + std::to_string(u), {weight}});
  }
  return model;
}

void gather_and_release(benchmark::State& run) {
  const auto ranks = collectives::make_single();
  engine_options options;
  options.policy = partition::policy_of_stage(static_cast<int>(run.range(0)));
  const int units = 24;
  sharded_optimizer optimizer(*ranks, blocks(units), options);
  for (auto _ : run) {
    optimizer.begin_micro_batch();
    for (int unit = 0; unit < units; ++unit) {
      const gathered_unit held = optimizer.gather(unit);
      benchmark::DoNotOptimize(held.parameter(0));
    }
  }
  run.SetItemsProcessed(run.iterations() * units);
  run.counters["seconds_per_pair"] =
      benchmark::Counter(static_cast<double>(units), benchmark::Counter::kIsIterationInvariantRate |
                                                         benchmark::Counter::kInvert);
}
BENCHMARK(gather_and_release)->Arg(0)->Arg(3)->ArgName("stage");

void two_clock_readings(benchmark::State& run) {
  for (auto _ : run) {
    benchmark::DoNotOptimize(trace_clock());
    benchmark::DoNotOptimize(trace_clock());
  }
}
BENCHMARK(two_clock_readings);

}  // namespace
}  // namespace zero

BENCHMARK_MAIN();
