// What the order checks, the record of operations and the watch cost a step: gpt-11m at stage 3 by
// four ranks, processes of this machine. Steps with the record and without it take turns, in pairs
// whose order changes; a descriptor and a note of progress, which nothing turns off, are timed by
// themselves and counted as often as a step has operations; the watch by the time its thread took.
//
// order_checks [PAIRS]

#include "operation_log.hpp"
#include "shared_memory/desync.hpp"
#include "trainer/blas.hpp"
#include "trainer/corpus.hpp"
#include "trainer/gpt.hpp"
#include "trainer/initial_values.hpp"
#include "trainer/text.hpp"
#include "trainer/training.hpp"

#include <zero/base/trace.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace zero {
namespace {

constexpr int size = 4;
constexpr int most_pairs = 200;

struct measured {
  std::array<double, most_pairs> with, without;          // seconds of a step
  std::array<double, most_pairs> cpu_with, cpu_without;  // of all threads of the rank
  double operations_per_step;
  double watch_seconds;  // of its thread, in all
  double seconds;        // of all steps
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Of the threads of this process that are called so.
double seconds_of_threads(const std::string& name) {
  double nanoseconds = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string found;
    std::getline(std::ifstream(task.path() / "comm") >> std::ws, found);
    double own = 0;
    if (found == name && std::ifstream(task.path() / "schedstat") >> own) nanoseconds += own;
  }
  return 1e-9 * nanoseconds;
}

void run_rank(collectives::communicator& ranks, int pairs, measured& out) {
  trainer::set_blas_threads(1);  // ranks are as many as cores, or more
  trainer::training_options options;
  options.model = trainer::find_gpt("gpt-11m");
  options.sequence = options.model.context;
  options.schedule.peak = 3e-4F;
  options.schedule.total_steps = 1000;
  options.engine.policy = partition::policy_of_stage(3);
  options.engine.groups.resize(2);  // decayed or not
  const trainer::corpus text = trainer::read_text({trainer::default_text});
  trainer::initial_values values(options.model, options.seed);
  const auto work = optim::make_host_processor();
  trainer::training training(
      ranks, *work,
      std::make_unique<trainer::gpt>(options.model, trainer::model_options_of(options, size)),
      options, text, values);
  static_cast<void>(training.step());
  const auto step = [&](bool records, double& seconds, double& cpu) {
    ranks.keep_operations(records);
    ranks.barrier().wait();
    const double before = cpu_seconds();
    seconds = training.step().seconds;
    cpu = cpu_seconds() - before;
  };
  const std::int64_t begin = trace_clock();
  const std::uint64_t calls = training.optimizer().traffic().calls;
  for (int i = 0; i < pairs; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (i % 2 == 0) step(true, out.with[at], out.cpu_with[at]);
    step(false, out.without[at], out.cpu_without[at]);
    if (i % 2 == 1) step(true, out.with[at], out.cpu_with[at]);
  }
  out.operations_per_step =
      static_cast<double>(training.optimizer().traffic().calls - calls) / (2.0 * pairs);
  out.seconds = 1e-9 * static_cast<double>(trace_clock() - begin);
  out.watch_seconds = seconds_of_threads("zero watch");
  ranks.barrier().wait();
}

// Seconds of one call, the least of several tries.
template <typename Work>
double seconds_of(Work work) {
  constexpr int calls = 200'000;
  double least = 1;
  for (int round = 0; round < 5; ++round) {
    const std::int64_t begin = trace_clock();
    for (int i = 0; i < calls; ++i) work(i);
    least = std::min(least, 1e-9 * static_cast<double>(trace_clock() - begin) / calls);
  }
  return least;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// How much more of `a` than of `b`, pair by pair.
double excess(const std::array<double, most_pairs>& a, const std::array<double, most_pairs>& b,
              int pairs) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < static_cast<std::size_t>(pairs); ++i) {
    ratios.push_back(a[i] / b[i] - 1);
  }
  return median(ratios);
}

void report(const measured& m, int pairs) {
  collectives::operation op{};
  op.kind = collectives::operation_kind::all_gather;
  std::array<collectives::operation, size> posted{};
  const double compares = seconds_of([&](int i) {
    op.tag = i;
    for (auto& each : posted) each = op;
    benchmark::DoNotOptimize(posted);
    bool agree = true;
    for (int r = 1; r < size; ++r) {
      agree = agree && collectives::same(posted[0], posted[static_cast<std::size_t>(r)]);
    }
    benchmark::DoNotOptimize(agree);
  });
  collectives::operation_log log({0, size});
  const double records = seconds_of([&](int i) {
    const std::uint64_t place = log.open(0, static_cast<std::uint64_t>(i), op);
    log.begin(place);
    log.end(place);
  });
  std::atomic<std::int64_t> moved;
  const double notes =
      seconds_of([&](int) { moved.store(trace_clock(), std::memory_order_relaxed); });

  const double step =
      median({m.without.begin(), m.without.begin() + static_cast<std::ptrdiff_t>(pairs)});
  // Every rank posts, finishes and moves bytes once an operation.
  const double each = compares + records + 3 * notes;
  const double watch = m.watch_seconds / m.seconds;
  std::printf("step %.3f s, %.0f operations a step\n", step, m.operations_per_step);
  std::printf("an operation: %.0f ns to compare, %.0f ns to record, %.0f ns to note progress\n",
              1e9 * compares, 1e9 * records, 3e9 * notes);
  std::printf("the watch's thread: %.6f s of %.1f s\n", m.watch_seconds, m.seconds);
  std::printf("accounted: %.5f %% of a step\n",
              100 * (m.operations_per_step * each / step + watch));
  std::printf(
      "measured with the record against without, %d pairs: %+.2f %% of the time, %+.2f %% "
      "of the CPU time (medians)\n",
      pairs, 100 * excess(m.with, m.without, pairs),
      100 * excess(m.cpu_with, m.cpu_without, pairs));
}

int run(int pairs) {
  auto world = collectives::shared_memory_world::create(size, std::uint64_t{1} << 30);
  auto* const all = static_cast<measured*>(mmap(
      nullptr, size * sizeof(measured), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::vector<pid_t> children;
  for (int rank = 0; rank < size; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        const auto ranks = world.join(rank);
        run_rank(*ranks, pairs, all[rank]);
      } catch (const std::exception& e) {
        std::fprintf(stderr, "rank %d: %s\n", rank, e.what());
        _exit(1);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  int failed = 0;
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    failed |= status;
  }
  if (failed != 0) return 1;
  report(all[0], pairs);
  return 0;
}

}  // namespace
}  // namespace zero

int main(int count, char** values) {
  const int pairs = count > 1 ? std::atoi(values[1]) : 20;
  if (pairs < 1 || pairs > zero::most_pairs) {
    std::fprintf(stderr, "order_checks: %s pairs; expected 1 to %d\n", values[1], zero::most_pairs);
    return 2;
  }
  return zero::run(pairs);
}
