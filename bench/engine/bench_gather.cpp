// bench_gather: the host time of a gather and its release when there is nothing to move, a pair.
// The ceiling is the four clock readings that a pair makes for the reports, back to back, where
// they take longer than amid other work: the fraction may be above 1.
#include "measure/measure.hpp"

#include <zero/collectives/single.hpp>
#include <zero/engine/sharded_optimizer.hpp>

#include <string>

namespace zero::bench {
namespace {

constexpr int units = 24;
constexpr int passes = 400;  // over all units, in a turn

partition::model_spec blocks() {
  partition::model_spec model;
  for (int u = 0; u < units; ++u) {
    partition::parameter_spec weight;
    weight.name = "h." + std::to_string(u) + ".weight";
    weight.shape = {64, 64};
    model.units.push_back({"h." + std::to_string(u), {weight}});
  }
  return model;
}

void gather_all(sharded_optimizer& optimizer) {
  for (int pass = 0; pass < passes; ++pass) {
    optimizer.begin_micro_batch();
    for (int unit = 0; unit < units; ++unit) {
      const gathered_unit held = optimizer.gather(unit);
      benchmark::DoNotOptimize(held.parameter(0));
    }
  }
}

void run_case(benchmark::State& state) {
  const auto ranks = collectives::make_single();
  engine_options options;
  options.policy = partition::policy_of_stage(static_cast<int>(state.range(0)));
  sharded_optimizer optimizer(*ranks, blocks(), options);
  constexpr double pairs = static_cast<double>(units) * passes;
  take_turns(
      state, 0, [&] { return timed([&] { gather_all(optimizer); }) / pairs; },
      [&] {
        return timed([&] {
                 for (int i = 0; i < 4 * units * passes; ++i) {
                   benchmark::DoNotOptimize(trace_clock());
                 }
               }) /
               pairs;
      });
}

void register_cases(const settings& s) {
  in_turns(benchmark::RegisterBenchmark("gather_and_release", run_case)
               ->ArgName("stage")
               ->Arg(0)
               ->Arg(3),
           s)
      ->Unit(benchmark::kNanosecond);
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 0, "/var/tmp"}, zero::bench::register_cases);
}
