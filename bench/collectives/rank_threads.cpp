#include "collectives/rank_threads.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <ctime>
#include <thread>

namespace zero::bench {
namespace {

struct cost {
  double seconds;
  double cpu;  // seconds of all threads of this process
};

template <typename Work>
cost cost_of(const Work& work) {
  const std::clock_t begin = std::clock();
  const double seconds = timed(work);
  return {seconds, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC};
}

// memcpy of S bytes by each core at once.
class copy_ceiling {
 public:
  explicit copy_ceiling(std::size_t bytes)
      : cores_(std::max(1u, std::thread::hardware_concurrency())),
        from_(cores_, std::vector<char>(bytes, 1)),
        to_(cores_, std::vector<char>(bytes, 2)) {}

  [[nodiscard]] double bytes() const {  // read and written
    return 2.0 * static_cast<double>(from_[0].size()) * cores_;
  }
  cost run() {
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (unsigned c = 0; c < cores_; ++c) {
      threads.emplace_back([&, c] {
        go.wait(false);
        std::memcpy(to_[c].data(), from_[c].data(), from_[c].size());
        benchmark::ClobberMemory();
      });
    }
    return cost_of([&] {
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

}  // namespace

rank_threads::rank_threads(int size, std::size_t bytes, dtype type)
    : world_(collectives::shared_memory_world::create(size, 4 * bytes + (std::size_t{1} << 20))) {
  const auto n = static_cast<std::size_t>(size);
  const std::size_t count = bytes / size_of(type) / n;
  for (int r = 0; r < size; ++r) {
    members_.push_back(world_.join(r));
    auto& memory = members_.back()->memory();
    full_.push_back({memory.allocate(bytes), count * n, type});
    shard_.push_back({memory.allocate(full_.back().bytes()), count, type});
    std::memset(full_.back().data, 0, full_.back().bytes());
    std::memset(shard_.back().data, 0, shard_.back().bytes());
  }
}

double rank_threads::seconds_of(const collective& queue) {
  std::vector<completion> done(members_.size());
  return timed([&] {
    for (std::size_t r = 0; r < members_.size(); ++r) {
      done[r] = queue(*members_[r], full_[r], shard_[r]);
    }
    for (const completion& c : done) c.wait();
  });
}

void against_copy(benchmark::State& state, std::size_t buffer_bytes, dtype type, double factor,
                  const collective& queue) {
  rank_threads world(static_cast<int>(state.range(0)), buffer_bytes, type);
  copy_ceiling ceiling(buffer_bytes);
  const double bytes = factor * static_cast<double>(buffer_bytes);
  const double share = bytes / ceiling.bytes();  // of a copy, for as many bytes
  std::vector<double> cpu, cpu_ceiling;
  take_turns(
      state, bytes,
      [&] {
        double seconds = 0;
        cpu.push_back(cost_of([&] { seconds = world.seconds_of(queue); }).cpu);
        return seconds;
      },
      [&] {
        const cost copied = ceiling.run();
        cpu_ceiling.push_back(share * copied.cpu);
        return share * copied.seconds;
      });
  state.counters["cpu_fraction"] = median(cpu_ceiling) / median(cpu);
}

}  // namespace zero::bench
