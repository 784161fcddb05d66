#pragma once
// How a case is measured: turn by turn with its ceiling, medians of each turn's ratio.

#include "arrays.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

namespace zero::bench {

using range_work = std::function<void(std::size_t begin, std::size_t end)>;

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Times `work` and `ceiling`, which moves the same `bytes` an element, in turns. Reports GB/s of
// both and the median over the turns of their ratio.
inline void measure(benchmark::State& state, double bytes, const range_work& work,
                    const range_work& ceiling) {
  const int threads = static_cast<int>(state.range(0));
  const double gigabytes = bytes * static_cast<double>(element_count) * 1e-9;
  std::vector<double> rates, ceilings, fractions;
  for (auto _ : state) {
    const double before = seconds_of(threads, ceiling);
    const double seconds = seconds_of(threads, work);
    const double after = seconds_of(threads, ceiling);
    const double bound = (before + after) / 2;
    state.SetIterationTime(seconds);
    rates.push_back(gigabytes / seconds);
    ceilings.push_back(gigabytes / bound);
    fractions.push_back(bound / seconds);
  }
  state.counters["GB/s"] = median(rates);
  state.counters["ceiling"] = median(ceilings);
  state.counters["fraction"] = median(fractions);
}

// 1 thread, and as many as there are cores. Turns, not time, say when it is enough.
inline void configure(benchmark::internal::Benchmark* b) {
  b->Arg(1);
  const auto cores = std::thread::hardware_concurrency();
  if (cores > 1) b->Arg(cores);
  b->ArgName("threads")->UseManualTime()->Iterations(15)->Unit(benchmark::kMillisecond);
}

void register_updates(arrays& a);
void register_steps(arrays& a);
void register_formats(arrays& a);
void register_elementwise(arrays& a);

}  // namespace zero::bench
