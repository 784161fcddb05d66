#include "measure/measure.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>

namespace zero::bench {
namespace {

constexpr int most_turns = 10000;

// The value of `--name=value`, nullptr for another word.
const char* value_of(const std::string& name, const char* word) {
  return std::string(word).rfind(name, 0) == 0 ? word + name.size() : nullptr;
}

// Takes what is ours out of the arguments.
settings parse(settings s, int& argc, char** argv) {
  const char* const folder = std::getenv("ZERO_BENCH_DIRECTORY");
  if (folder != nullptr && *folder != '\0') s.directory = folder;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (const char* const turns = value_of("--turns=", argv[i])) {
      s.turns = std::atoi(turns);
      if (s.turns < 1 || s.turns > most_turns) {
        throw invalid_argument(std::string(argv[i]) + "; expected 1 to 10000");
      }
    } else if (const char* const bytes = value_of("--bytes=", argv[i])) {
      s.bytes = parse_bytes(bytes);
      if (s.bytes < (1 << 20)) throw invalid_argument(std::string(argv[i]) + "; at least 1MiB");
    } else if (const char* const directory = value_of("--directory=", argv[i])) {
      s.directory = directory;
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  argv[kept] = nullptr;
  return s;
}

}  // namespace

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void turn_log::add(double seconds, double ceiling_seconds) {
  seconds_.push_back(seconds);
  ceilings_.push_back(ceiling_seconds);
  fractions_.push_back(ceiling_seconds / seconds);
}

void turn_log::report(benchmark::State& state, double bytes) const {
  if (seconds_.empty()) return;
  state.counters["seconds"] = median(seconds_);
  state.counters["ceiling_seconds"] = median(ceilings_);
  state.counters["fraction"] = median(fractions_);
  if (bytes <= 0) return;
  state.counters["GB/s"] = bytes * 1e-9 / median(seconds_);
  state.counters["ceiling_GB/s"] = bytes * 1e-9 / median(ceilings_);
}

benchmark::internal::Benchmark* in_turns(benchmark::internal::Benchmark* b, const settings& s) {
  return b->UseManualTime()->Iterations(s.turns)->Unit(benchmark::kMillisecond);
}

int run(int argc, char** argv, settings defaults, void (*register_cases)(const settings&)) {
  try {
    const settings chosen = parse(std::move(defaults), argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    register_cases(chosen);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
  } catch (const invalid_argument& wrong) {
    std::fprintf(stderr, "%s: %s\n", argv[0], wrong.what());
    return 2;
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "%s: %s\n", argv[0], failed.what());
    return 1;
  }
}

}  // namespace zero::bench
