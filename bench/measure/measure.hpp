#pragma once
// How every question is measured: in turns with its ceiling, so that whatever else the machine does
// meets both. Ceiling, work, ceiling, work, ..., ceiling: each work is held against the mean of the
// two ceilings beside it, and what is reported are medians over the turns.
//
// Counters of a case: `seconds` and `ceiling_seconds`, for the same bytes or operations;
// `fraction`, the median of their ratio in a turn; where bytes move, `GB/s` and `ceiling_GB/s`.
//
// One thread.

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace zero::bench {

// What a binary is told besides Google Benchmark's options.
struct settings {
  int turns = 15;           // --turns=N
  std::uint64_t bytes = 0;  // --bytes=SIZE, of an array, a buffer or a file: its file's head says
  // --directory=DIR, for what needs a disk; by default $ZERO_BENCH_DIRECTORY, else this.
  std::string directory = "/var/tmp";
};

// Of at least one value; the upper of two in the middle.
[[nodiscard]] double median(std::vector<double> values);

template <typename Work>
[[nodiscard]] double timed(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

class turn_log {
 public:
  void add(double seconds, double ceiling_seconds);
  // `bytes` that the work moves, 0 where none are counted.
  void report(benchmark::State& state, double bytes) const;

 private:
  std::vector<double> seconds_;
  std::vector<double> ceilings_;
  std::vector<double> fractions_;
};

// `work` and `ceiling` return seconds, the ceiling's for as much as the work does. Both are done
// once before anything is counted.
template <typename Work, typename Ceiling>
void take_turns(benchmark::State& state, double bytes, const Work& work, const Ceiling& ceiling) {
  turn_log log;
  static_cast<void>(work());
  static_cast<void>(ceiling());
  double before = ceiling();
  for (auto _ : state) {
    const double seconds = work();
    const double after = ceiling();
    state.SetIterationTime(seconds);
    log.add(seconds, (before + after) / 2);
    before = after;
  }
  log.report(state, bytes);
}

// Turns, not time, say when it is enough.
benchmark::internal::Benchmark* in_turns(benchmark::internal::Benchmark* b, const settings& s);

// The whole of a binary's main: reads options, has the cases registered, runs those asked for.
// 0; 2 for options that are wrong; 1 where a case throws.
[[nodiscard]] int run(int argc, char** argv, settings defaults,
                      void (*register_cases)(const settings&));

}  // namespace zero::bench
