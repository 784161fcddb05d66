// bench_barrier: what a collective costs that moves nothing or next to nothing, from queueing to
// the last rank's wait. The ceiling is one handing over to as many sleeping threads and back, by a
// mutex and condition variables: what the system takes to wake each of them and the caller again.
#include "collectives/rank_threads.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace zero::bench {
namespace {

constexpr int rounds = 300;  // of a turn
constexpr int depth = 64;    // of what is queued without waiting for each

// Threads that sleep until a number changes and then say that they saw it.
class sleeping_threads {
 public:
  explicit sleeping_threads(int count) : count_(count) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { follow(); });
  }
  sleeping_threads(const sleeping_threads&) = delete;
  sleeping_threads& operator=(const sleeping_threads&) = delete;
  ~sleeping_threads() {
    change([this] { ended_ = true; });
    for (std::thread& t : threads_) t.join();
  }
  void hand_over() {
    change([this] {
      seen_ = 0;
      ++round_;
    });
    std::unique_lock lock(mutex_);
    all_saw_.wait(lock, [this] { return seen_ == count_; });
  }

 private:
  template <typename Change>
  void change(const Change& what) {
    {
      const std::lock_guard lock(mutex_);
      what();
    }
    changed_.notify_all();
  }
  void follow() {
    std::unique_lock lock(mutex_);
    for (std::uint64_t last = 0;; last = round_) {
      changed_.wait(lock, [&] { return ended_ || round_ != last; });
      if (ended_) return;
      if (++seen_ == count_) all_saw_.notify_one();
    }
  }
  const int count_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable all_saw_;
  std::uint64_t round_ = 0;
  int seen_ = 0;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

void tiny(benchmark::State& state, int operations, const collective& queue) {
  const int size = static_cast<int>(state.range(0));
  rank_threads world(size, 64 * static_cast<std::size_t>(size), dtype::fp32);
  sleeping_threads others(size);
  const double each = 1.0 / (rounds * static_cast<double>(operations));
  take_turns(
      state, 0,
      [&] {
        double seconds = 0;
        for (int i = 0; i < rounds; ++i) seconds += world.seconds_of(queue);
        return seconds * each;
      },
      [&] {
        return timed([&] {
                 for (int i = 0; i < rounds; ++i) others.hand_over();
               }) /
               rounds;
      });
}

void register_case(const settings& s, const char* name, int operations, const collective& queue) {
  in_turns(benchmark::RegisterBenchmark(
               name, [=](benchmark::State& state) { tiny(state, operations, queue); })
               ->ArgName("ranks")
               ->Arg(2)
               ->Arg(4),
           s)
      ->Unit(benchmark::kMicrosecond);
}

void register_cases(const settings& s) {
  using collectives::communicator;
  register_case(s, "barrier", 1,
                [](communicator& ranks, typed_span, typed_span) { return ranks.barrier(); });
  register_case(s, "all_gather_of_64_bytes", 1,
                [](communicator& ranks, typed_span full, typed_span shard) {
                  return ranks.all_gather(shard, full);
                });
  register_case(s, "queued_barriers", depth, [](communicator& ranks, typed_span, typed_span) {
    for (int i = 1; i < depth; ++i) ranks.barrier();
    return ranks.barrier();
  });
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 0, "/var/tmp"}, zero::bench::register_cases);
}
