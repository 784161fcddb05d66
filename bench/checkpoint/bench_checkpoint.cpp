// bench_checkpoint: how close publishing a checkpoint comes to what the disk can write, and loading
// one to reading its files.
//
// Ranks are threads of this process with --bytes of state each, in memory that has been touched.
// `save`: the ceiling is the same number of threads that write as many bytes past the page cache,
// in pieces of 8 MiB, each into a reserved file of its own, and fsync it. A save is counted from
// its call until it is published, so votes, checksums, manifest, fsyncs and renames are in it; what
// removing an older one takes rank 0 after that is `removal_ms`. `load`: the ceiling is as many
// threads that read the checkpoint's files through the page cache, as a load does, into memory of
// that size. What is made in --directory is removed.
#include "measure/measure.hpp"

#include <zero/base/memory_resource.hpp>
#include <zero/checkpoint/store.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace zero::bench {
namespace {

using namespace zero::checkpoint;

constexpr std::size_t piece_bytes = std::size_t{8} << 20;

class scratch_folder {
 public:
  explicit scratch_folder(const std::string& where) {
    std::string name = where + "/bench_checkpoint_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder '" + name + "'");
    path_ = std::filesystem::absolute(name).string();
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  ~scratch_folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string in(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// One rank's state, in memory.
class resident_state final : public source, public target {
 public:
  // Weights and two states in fp32, `bytes` of them.
  resident_state(int rank, int size, std::uint64_t bytes)
      : size_(size), bytes_(bytes), where_{static_cast<std::size_t>(rank), 0, bytes / 12} {
    memory_ = static_cast<float*>(pages_.allocate(bytes_));
    for (std::size_t i = 0; i < bytes_ / 4; ++i) {
      memory_[i] = static_cast<float>(i % 8191 + static_cast<std::size_t>(rank));
    }
  }
  ~resident_state() override { pages_.deallocate(memory_, bytes_); }

  [[nodiscard]] manifest describe() const override {
    manifest m;
    m.algorithm = "adamw";
    m.states = {"exp_avg", "exp_avg_sq"};
    for (int r = 0; r < size_; ++r) {
      m.parameters.push_back(
          {"block." + std::to_string(r), {where_.count}, dtype::fp32, true, 0, ""});
    }
    m.groups.resize(1);
    return m;
  }
  [[nodiscard]] std::vector<shard_extent> extents() const override { return {where_}; }
  void read(const read_shard_function& see) override {
    shard_values v;
    v.where = where_;
    v.weights = {memory_, where_.count, dtype::fp32};
    v.states[0] = memory_ + where_.count;
    v.states[1] = memory_ + 2 * where_.count;
    v.state_count = 2;
    see(v);
  }
  void expect(const manifest&) const override {}
  void write(const write_shard_function& fill) override {
    shard_room room;
    room.where = where_;
    room.weights = {memory_, where_.count, dtype::fp32};
    room.states[0] = memory_ + where_.count;
    room.states[1] = memory_ + 2 * where_.count;
    room.state_count = 2;
    fill(room);
  }
  void resume(const manifest&) override {}

 private:
  page_resource pages_;
  int size_;
  std::uint64_t bytes_;
  shard_extent where_;
  float* memory_ = nullptr;
};

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string(what) + " failed");
}

// A thread for each number below `count`; in seconds.
double on_threads(int count, const std::function<void(int)>& work) {
  return timed([&] {
    std::vector<std::thread> threads;
    for (int t = 0; t < count; ++t) threads.emplace_back(work, t);
    for (std::thread& t : threads) t.join();
  });
}

// Memory, of the same size each, for some threads to write from or read to.
class pieces {
 public:
  pieces(int count, std::uint64_t bytes) : bytes_(bytes) {
    for (int i = 0; i < count; ++i) {
      memory_.push_back(pages_.allocate(bytes));
      std::fill_n(static_cast<char*>(memory_.back()), bytes, '\x11');
    }
  }
  pieces(const pieces&) = delete;
  pieces& operator=(const pieces&) = delete;
  ~pieces() {
    for (void* const m : memory_) pages_.deallocate(m, bytes_);
  }
  [[nodiscard]] std::byte* of(int thread) const {
    return static_cast<std::byte*>(memory_[static_cast<std::size_t>(thread)]);
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  std::uint64_t bytes_;
  page_resource pages_;
  std::vector<void*> memory_;
};

// What the disk takes: each of so many writers writes `bytes`; in seconds.
double write_plainly(const scratch_folder& folder, int writers, std::uint64_t bytes,
                     const pieces& memory) {
  const auto name = [&](int writer) { return folder.in("plain." + std::to_string(writer)); };
  const double seconds = on_threads(writers, [&](int w) {
    const int file = open(name(w).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_DIRECT, 0600);
    require(file >= 0, "open");
    require(fallocate(file, 0, 0, static_cast<off_t>(bytes)) == 0, "fallocate");
    for (std::uint64_t at = 0; at < bytes; at += piece_bytes) {
      require(pwrite(file, memory.of(w) + at, piece_bytes, static_cast<off_t>(at)) ==
                  static_cast<ssize_t>(piece_bytes),
              "pwrite");
    }
    require(fsync(file) == 0, "fsync");
    close(file);
  });
  for (int w = 0; w < writers; ++w) unlink(name(w).c_str());
  return seconds;
}

// Reads whole files, so many readers at once; in seconds.
double read_plainly(const std::vector<std::string>& files, int readers, const pieces& memory) {
  std::atomic<std::size_t> next{0};
  return on_threads(readers, [&](int reader) {
    for (std::size_t i = next++; i < files.size(); i = next++) {
      const int file = open(files[i].c_str(), O_RDONLY);
      require(file >= 0, "open");
      ssize_t count = 0;
      for (std::uint64_t at = 0;; at += static_cast<std::uint64_t>(count)) {
        std::byte* const to = memory.of(reader) + at % memory.bytes();
        const std::uint64_t room = std::min(piece_bytes, memory.bytes() - at % memory.bytes());
        count = pread(file, to, room, static_cast<off_t>(at));
        if (count <= 0) break;
      }
      require(count == 0, "pread");
      close(file);
    }
  });
}

// Ranks as threads that save and load together.
class ranks_at_work {
 public:
  ranks_at_work(int size, const settings& s)
      : folder_(s.directory),
        size_(size),
        rank_bytes_(s.bytes / piece_bytes * piece_bytes),
        world_(collectives::shared_memory_world::create(size, std::uint64_t{1} << 20)),
        states_(static_cast<std::size_t>(size)),
        stores_(states_.size()),
        memory_(size, rank_bytes_) {
    for (int r = 0; r < size; ++r) ranks_.push_back(world_.join(r));
    on_all([&](std::size_t rank) {
      states_[rank] = std::make_unique<resident_state>(static_cast<int>(rank), size, rank_bytes_);
      stores_[rank] = std::make_unique<store>(*ranks_[rank], folder_.in("checkpoints"));
    });
  }
  ranks_at_work(const ranks_at_work&) = delete;
  ranks_at_work& operator=(const ranks_at_work&) = delete;
  ~ranks_at_work() {
    on_all([&](std::size_t rank) { stores_[rank].reset(); });
  }
  [[nodiscard]] double bytes() const { return static_cast<double>(rank_bytes_) * size_; }

  // Seconds until it is published; `removal`: those that rank 0 takes longer.
  double save(double& removal) {
    ++step_;
    const double all = on_all([&](std::size_t r) { stores_[r]->save(*states_[r], step_); });
    const double published = stores_[0]->newest()->seconds;
    removal = all - published;
    return published;
  }
  double load() {
    return on_all([&](std::size_t r) {
      loaded out;
      require(stores_[r]->load(*states_[r], out), "load");
    });
  }
  double write_plainly() const {
    return bench::write_plainly(folder_, size_, rank_bytes_, memory_);
  }
  // What is in the folder when nothing is saved meanwhile.
  double read_plainly() const { return bench::read_plainly(files_, size_, memory_); }
  void find_files() {
    const std::filesystem::path where = folder_.in("checkpoints");
    files_.clear();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(where)) {
      if (entry.is_regular_file()) files_.push_back(entry.path().string());
    }
  }

 private:
  double on_all(const std::function<void(std::size_t)>& work) {
    return bench::on_threads(size_, [&](int rank) { work(static_cast<std::size_t>(rank)); });
  }

  scratch_folder folder_;
  int size_;
  std::uint64_t rank_bytes_;
  collectives::shared_memory_world world_;
  std::vector<std::unique_ptr<collectives::communicator>> ranks_;
  std::vector<std::unique_ptr<resident_state>> states_;
  std::vector<std::unique_ptr<store>> stores_;
  pieces memory_;
  std::vector<std::string> files_;
  std::uint64_t step_ = 0;
};

void save(benchmark::State& state, const settings& s) {
  ranks_at_work ranks(static_cast<int>(state.range(0)), s);
  std::vector<double> removals;
  take_turns(
      state, ranks.bytes(),
      [&] {
        double removal = 0;
        const double seconds = ranks.save(removal);
        removals.push_back(removal);
        return seconds;
      },
      [&] { return ranks.write_plainly(); });
  state.counters["removal_ms"] = median(removals) * 1e3;
}

void load(benchmark::State& state, const settings& s) {
  ranks_at_work ranks(static_cast<int>(state.range(0)), s);
  double removal = 0;
  ranks.save(removal);
  ranks.find_files();
  take_turns(
      state, ranks.bytes(), [&] { return ranks.load(); }, [&] { return ranks.read_plainly(); });
}

void register_cases(const settings& s) {
  const auto add = [&](const char* name, void (*run)(benchmark::State&, const settings&)) {
    in_turns(benchmark::RegisterBenchmark(name, [=](benchmark::State& state) { run(state, s); })
                 ->ArgName("ranks")
                 ->Arg(1)
                 ->Arg(4),
             s);
  };
  add("save", save);
  add("load", load);
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {9, 128 << 20, "/var/tmp"}, zero::bench::register_cases);
}
