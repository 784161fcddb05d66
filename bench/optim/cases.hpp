#pragma once
// How the cases of optim are registered and measured: ranges of arrays on one thread and on all
// cores, turn by turn with a ceiling.

#include "arrays.hpp"
#include "measure/measure.hpp"

#include <memory>
#include <string>
#include <thread>

namespace zero::bench {

// Times `work` over `count` elements, and `ceiling`, which moves the same `bytes` an element.
inline void measure(benchmark::State& state, std::size_t count, double bytes,
                    const range_work& work, const range_work& ceiling) {
  const int threads = static_cast<int>(state.range(0));
  take_turns(
      state, bytes * static_cast<double>(count), [&] { return seconds_of(threads, count, work); },
      [&] { return seconds_of(threads, count, ceiling); });
}

// A case on 1 thread, and on as many as there are cores.
template <typename Case>
void on_threads(const std::string& name, const settings& s, const Case& run) {
  auto* const b = benchmark::RegisterBenchmark(name.c_str(), run)->ArgName("threads")->Arg(1);
  const auto cores = std::thread::hardware_concurrency();
  if (cores > 1) b->Arg(cores);
  in_turns(b, s);
}

using shared_arrays = std::shared_ptr<arrays>;

void register_updates(const settings& s, const shared_arrays& a);
void register_steps(const settings& s, const shared_arrays& a);
void register_formats(const settings& s, const shared_arrays& a);

}  // namespace zero::bench
