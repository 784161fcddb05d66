// How close the collectives come to what this machine can copy, and how long a tiny one takes.
//
// Ranks are threads of this process. Bytes are counted as the algorithm must move them at least:
// (n + 1) * S for reduce_scatter (n buffers read, one shard of each rank written), 2 * n * S for
// all_gather (S bytes read and written by each of n ranks). The ceiling is memcpy by as many
// threads as cores, bytes read and written, timed in turn with the operation: read the fraction,
// not the rates. cpu_fraction is the same by processor time instead of time on the clock, which
// other work on the machine disturbs less.
#include <zero/collectives/shared_memory.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace zero;
using namespace zero::collectives;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t buffer_bytes = std::size_t{64} << 20;  // S

double seconds_since(clock_type::time_point begin) {
  return std::chrono::duration<double>(clock_type::now() - begin).count();
}

// Processor seconds of all threads of this process.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct rate_pair {
  double wall;  // bytes in a second
  double cpu;   // bytes in a processor second
};

// Runs the work and says how fast it moved `bytes`.
template <typename Work>
rate_pair measure(double bytes, Work work) {
  const double cpu = cpu_seconds();
  const auto begin = clock_type::now();
  work();
  const double seconds = seconds_since(begin);
  return {bytes / seconds, bytes / std::max(cpu_seconds() - cpu, 1e-9)};
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// memcpy of S bytes by each core at once.
class copy_ceiling {
 public:
  copy_ceiling()
      : cores_(std::max(1u, std::thread::hardware_concurrency())),
        from_(cores_, std::vector<char>(buffer_bytes, 1)),
        to_(cores_, std::vector<char>(buffer_bytes, 2)) {}

  // Bytes read and written.
  rate_pair rate() {
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (unsigned c = 0; c < cores_; ++c) {
      threads.emplace_back([&, c] {
        go.wait(false);
        std::memcpy(to_[c].data(), from_[c].data(), buffer_bytes);
        benchmark::ClobberMemory();
      });
    }
    return measure(2.0 * static_cast<double>(buffer_bytes) * cores_, [&] {
      go.store(true);
      go.notify_all();
      for (std::thread& t : threads) t.join();
    });
  }

 private:
  unsigned cores_;
  std::vector<std::vector<char>> from_;
  std::vector<std::vector<char>> to_;
};

// n ranks, each with a full buffer and a shard in shared memory.
class ranks {
 public:
  ranks(int size, std::size_t bytes, dtype type)
      : world_(shared_memory_world::create(size, 4 * bytes + (std::size_t{1} << 20))) {
    const std::size_t count = bytes / size_of(type) / static_cast<std::size_t>(size);
    for (int r = 0; r < size; ++r) {
      members_.push_back(world_.join(r));
      auto& memory = members_.back()->memory();
      full_.push_back({memory.allocate(bytes), count * static_cast<std::size_t>(size), type});
      shard_.push_back({memory.allocate(full_.back().bytes()), count, type});
      std::memset(full_.back().data, 0, full_.back().bytes());
      std::memset(shard_.back().data, 0, shard_.back().bytes());
    }
  }

  // Queues on every rank, waits for all; in seconds.
  double time(const std::function<completion(communicator&, typed_span, typed_span)>& queue) {
    std::vector<completion> done(members_.size());
    const auto begin = clock_type::now();
    for (std::size_t r = 0; r < members_.size(); ++r) {
      done[r] = queue(*members_[r], full_[r], shard_[r]);
    }
    for (const completion& c : done) c.wait();
    return seconds_since(begin);
  }

 private:
  shared_memory_world world_;
  std::vector<std::unique_ptr<communicator>> members_;
  std::vector<typed_span> full_;
  std::vector<typed_span> shard_;
};

void against_ceiling(benchmark::State& state, dtype type, double bytes_factor,
                     const std::function<completion(communicator&, typed_span, typed_span)>& op) {
  const auto size = static_cast<int>(state.range(0));
  ranks world(size, buffer_bytes, type);
  copy_ceiling ceiling;
  const double bytes = bytes_factor * static_cast<double>(buffer_bytes);
  std::vector<double> rates, ceilings, cpu_rates, cpu_ceilings;
  world.time(op);
  ceiling.rate();
  for (auto _ : state) {
    double seconds = 0;
    const rate_pair moved = measure(bytes, [&] { seconds = world.time(op); });
    state.SetIterationTime(seconds);
    const rate_pair copied = ceiling.rate();
    rates.push_back(moved.wall);
    cpu_rates.push_back(moved.cpu);
    ceilings.push_back(copied.wall);
    cpu_ceilings.push_back(copied.cpu);
  }
  state.counters["GB/s"] = median(rates) / 1e9;
  state.counters["copy_GB/s"] = median(ceilings) / 1e9;
  state.counters["fraction"] = median(rates) / median(ceilings);
  state.counters["cpu_fraction"] = median(cpu_rates) / median(cpu_ceilings);
}

void reduce_scatter(benchmark::State& state, dtype type) {
  const double n = static_cast<double>(state.range(0));
  against_ceiling(state, type, n + 1, [](communicator& c, typed_span full, typed_span shard) {
    return c.reduce_scatter(full, shard);
  });
}
BENCHMARK_CAPTURE(reduce_scatter, fp32, dtype::fp32)->Arg(2)->Arg(4)->Arg(8)->UseManualTime();
BENCHMARK_CAPTURE(reduce_scatter, bf16, dtype::bf16)->Arg(4)->UseManualTime();
BENCHMARK_CAPTURE(reduce_scatter, fp16, dtype::fp16)->Arg(4)->UseManualTime();

void all_gather(benchmark::State& state) {
  const double n = static_cast<double>(state.range(0));
  against_ceiling(
      state, dtype::fp32, 2 * n,
      [](communicator& c, typed_span full, typed_span shard) { return c.all_gather(shard, full); });
}
BENCHMARK(all_gather)->Arg(2)->Arg(4)->Arg(8)->UseManualTime();

// ---- tiny operations: from queueing to the last rank's wait ------------------------------------

void barrier_latency(benchmark::State& state) {
  ranks world(static_cast<int>(state.range(0)), 4096, dtype::fp32);
  for (auto _ : state) {
    world.time([](communicator& c, typed_span, typed_span) { return c.barrier(); });
  }
}
BENCHMARK(barrier_latency)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

void tiny_all_gather_latency(benchmark::State& state) {
  const auto size = static_cast<int>(state.range(0));
  ranks world(size, 64 * static_cast<std::size_t>(size), dtype::fp32);
  for (auto _ : state) {
    world.time([](communicator& c, typed_span full, typed_span shard) {
      return c.all_gather(shard, full);
    });
  }
}
BENCHMARK(tiny_all_gather_latency)->Arg(1)->Arg(2)->Arg(4)->UseRealTime();

// The same barrier queued 64 deep: what an operation costs when nobody waits for each.
void queued_barriers(benchmark::State& state) {
  constexpr int depth = 64;
  ranks world(static_cast<int>(state.range(0)), 4096, dtype::fp32);
  for (auto _ : state) {
    world.time([](communicator& c, typed_span, typed_span) {
      for (int i = 1; i < depth; ++i) c.barrier();
      return c.barrier();
    });
  }
  state.SetItemsProcessed(state.iterations() * depth);
}
BENCHMARK(queued_barriers)->Arg(4)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
