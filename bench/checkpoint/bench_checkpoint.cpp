// How close publishing a checkpoint comes to what the disk can write, and how fast one is loaded.
//
// Ranks are threads of this process with 256 MiB of state each, in memory that has been touched.
// The ceiling is the same number of threads that write as many bytes past the page cache, in pieces
// of 8 MiB, each into a reserved file of its own, and fsync it; timed in turn with the saves: read
// the fraction, not the rates. A save is counted from its call until it is published, so votes,
// checksums, manifest, fsyncs and renames are in it; what removing an older one takes rank 0 after
// that is shown beside it. Loads read through the page cache. Directory: ZERO_BENCH_DIRECTORY, by
// default the current one; what is made there is removed.
#include <zero/base/memory_resource.hpp>
#include <zero/checkpoint/store.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace zero;
using namespace zero::checkpoint;
using clock_type = std::chrono::steady_clock;

constexpr std::size_t rank_bytes = std::size_t{256} << 20;
constexpr std::size_t piece_bytes = std::size_t{8} << 20;
constexpr std::uint64_t elements = rank_bytes / 12;  // weights and two states, fp32

double seconds_since(clock_type::time_point begin) {
  return std::chrono::duration<double>(clock_type::now() - begin).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class scratch_folder {
 public:
  scratch_folder() {
    const char* const where = std::getenv("ZERO_BENCH_DIRECTORY");
    std::string name = std::string(where == nullptr ? "." : where) + "/bench_checkpoint_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder '" + name + "'");
    path_ = std::filesystem::absolute(name).string();
  }
  ~scratch_folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string in(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// One rank's state, in memory.
class resident_state final : public source, public target {
 public:
  resident_state(int rank, int size)
      : size_(size), where_{static_cast<std::size_t>(rank), 0, elements} {
    memory_ = static_cast<float*>(pages_.allocate(rank_bytes));
    for (std::size_t i = 0; i < 3 * elements; ++i) {
      memory_[i] = static_cast<float>(i % 8191 + static_cast<std::size_t>(rank));
    }
  }
  ~resident_state() override { pages_.deallocate(memory_, rank_bytes); }

  [[nodiscard]] manifest describe() const override {
    manifest m;
    m.algorithm = "adamw";
    m.states = {"exp_avg", "exp_avg_sq"};
    for (int r = 0; r < size_; ++r) {
      m.parameters.push_back({"block." + std::to_string(r), {elements}, dtype::fp32, true, 0, ""});
    }
    m.groups.resize(1);
    return m;
  }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return {where_}; }
  void read(const read_shard_function& see) override {
    shard_values v;
    v.where = where_;
    v.weights = {memory_, elements, dtype::fp32};
    v.states[0] = memory_ + elements;
    v.states[1] = memory_ + 2 * elements;
    v.state_count = 2;
    see(v);
  }
  void expect(const manifest&) const override {}
  void write(const write_shard_function& fill) override {
    shard_room room;
    room.where = where_;
    room.weights = {memory_, elements, dtype::fp32};
    room.states[0] = memory_ + elements;
    room.states[1] = memory_ + 2 * elements;
    room.state_count = 2;
    fill(room);
  }
  void resume(const manifest&) override {}

 private:
  page_resource pages_;
  int size_;
  shard_extent where_;
  float* memory_ = nullptr;
};

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string(what) + " failed");
}

// What the disk takes: bytes in a second, by so many writers at once.
double write_plainly(const scratch_folder& folder, int writers, const std::vector<void*>& memory) {
  const auto begin = clock_type::now();
  std::vector<std::thread> threads;
  for (int w = 0; w < writers; ++w) {
    threads.emplace_back([&, w] {
      const std::string name = folder.in("plain." + std::to_string(w));
      const int file = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_DIRECT, 0600);
      require(file >= 0, "open");
      require(fallocate(file, 0, 0, rank_bytes) == 0, "fallocate");
      for (std::size_t at = 0; at < rank_bytes; at += piece_bytes) {
        require(pwrite(file, memory[static_cast<std::size_t>(w)], piece_bytes,
                       static_cast<off_t>(at)) == static_cast<ssize_t>(piece_bytes),
                "pwrite");
      }
      require(fsync(file) == 0, "fsync");
      close(file);
    });
  }
  for (std::thread& t : threads) t.join();
  const double rate = static_cast<double>(rank_bytes) * writers / seconds_since(begin);
  for (int w = 0; w < writers; ++w) unlink(folder.in("plain." + std::to_string(w)).c_str());
  return rate;
}

// Ranks as threads that do one thing after another, all at once.
class ranks_at_work {
 public:
  explicit ranks_at_work(int size)
      : world_(collectives::shared_memory_world::create(size, std::uint64_t{1} << 20)) {
    for (int r = 0; r < size; ++r) ranks_.push_back(world_.join(r));
  }
  // Seconds until all are done.
  double run(const std::function<void(int, collectives::communicator&)>& work) {
    const auto begin = clock_type::now();
    std::vector<std::thread> threads;
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      threads.emplace_back([&, r] { work(static_cast<int>(r), *ranks_[r]); });
    }
    for (std::thread& t : threads) t.join();
    return seconds_since(begin);
  }

 private:
  collectives::shared_memory_world world_;
  std::vector<std::unique_ptr<collectives::communicator>> ranks_;
};

void save_and_load(benchmark::State& run) {
  const int size = static_cast<int>(run.range(0));
  const auto ranks = static_cast<std::size_t>(size);
  const scratch_folder folder;
  ranks_at_work work(size);
  std::vector<std::unique_ptr<resident_state>> states(ranks);
  std::vector<std::unique_ptr<store>> stores(ranks);
  page_resource pages;
  std::vector<void*> memory(ranks);
  for (void*& m : memory) {
    m = pages.allocate(piece_bytes);
    std::fill_n(static_cast<char*>(m), piece_bytes, '\x11');
  }
  work.run([&](int rank, collectives::communicator& c) {
    const auto at = static_cast<std::size_t>(rank);
    states[at] = std::make_unique<resident_state>(rank, size);
    stores[at] = std::make_unique<store>(c, folder.in("checkpoints"));
  });
  std::uint64_t step = 0;
  const double bytes = static_cast<double>(rank_bytes) * size;
  std::vector<double> removals;
  const auto save = [&] {
    ++step;
    const double all = work.run([&](int rank, collectives::communicator&) {
      const auto at = static_cast<std::size_t>(rank);
      stores[at]->save(*states[at], step);
    });
    const double published = stores[0]->newest()->seconds;
    removals.push_back(all - published);
    return bytes / published;
  };
  save();  // touches the buffers
  std::vector<double> fractions;
  std::vector<double> ceilings;
  std::vector<double> saves;
  std::vector<double> loads;
  for (auto _ : run) {
    const double before = write_plainly(folder, size, memory);
    const double reached = save();
    const double after = write_plainly(folder, size, memory);
    run.SetIterationTime(bytes / reached);
    ceilings.push_back((before + after) / 2);
    saves.push_back(reached);
    fractions.push_back(reached / ceilings.back());
    loads.push_back(bytes / work.run([&](int rank, collectives::communicator&) {
      const auto at = static_cast<std::size_t>(rank);
      loaded out;
      require(stores[at]->load(*states[at], out), "load");
    }));
  }
  run.counters["disk_GBps"] = median(ceilings) / 1e9;
  run.counters["save_GBps"] = median(saves) / 1e9;
  run.counters["fraction"] = median(fractions);
  run.counters["removal_ms"] = median(removals) * 1e3;
  run.counters["load_GBps"] = median(loads) / 1e9;
  for (std::size_t r = 0; r < ranks; ++r) pages.deallocate(memory[r], piece_bytes);
  work.run([&](int rank, collectives::communicator&) {
    stores[static_cast<std::size_t>(rank)].reset();
  });
}
BENCHMARK(save_and_load)
    ->Arg(1)
    ->Arg(4)
    ->UseManualTime()
    ->Iterations(9)
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
