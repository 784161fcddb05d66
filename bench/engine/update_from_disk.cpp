// The update of optimizer states that rest on a disk, as the engine makes it, beside what it is
// made of: reading alone, updating alone in memory, writing alone, both ways at once without
// updating, and all three one after the other for each record.
//
//   update_from_disk [DIRECTORY [MEBIBYTES [ROUNDS [DEPTH [READ WRITE]]]]]
//
// With READ and WRITE, MiB a second, the disk is held to those rates (paced_disk.hpp). Rounds are
// interleaved; what is printed are medians, and medians of ratios within a round.

#include "engine/paced_disk.hpp"

#include <zero/base/copier.hpp>
#include <zero/collectives/single.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/host_arena.hpp>
#include <zero/offload/swap_file.hpp>
#include <zero/offload/tier_lane.hpp>
#include <zero/optim/update.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace zero {
namespace {

struct settings {
  std::string directory = "/var/tmp";
  std::uint64_t bytes = std::uint64_t{384} << 20;  // of optimizer states
  int rounds = 7;
  int depth = partition::tiering{}.depth;
  std::uint64_t cell = partition::tiering{}.cell_elements;
  double read_rate = 0.0;  // bytes a second; 0: what the disk gives
  double write_rate = 0.0;
  [[nodiscard]] std::unique_ptr<offload::disk_engine> disk() const {
    auto disk = offload::make_disk_engine();
    if (read_rate == 0.0) return disk;
    return std::make_unique<paced_disk>(std::move(disk), read_rate, write_rate);
  }
  [[nodiscard]] std::uint64_t elements() const { return bytes / 12 / cell * cell; }
};

template <typename Function>
double seconds(const Function& work) {
  const std::int64_t begin = trace_clock();
  work();
  return 1e-9 * static_cast<double>(trace_clock() - begin);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The engine: one rank, gradients and parameters in memory, optimizer states on disk.
class engine_run {
 public:
  explicit engine_run(const settings& s)
      : ranks_(collectives::make_single()), optimizer_(*ranks_, model(s), options(s)) {
    optimizer_.initialize([](std::size_t, std::uint64_t, span<float> values) {
      std::fill(values.begin(), values.end(), 0.5F);
    });
  }
  // Only the step is timed.
  double step() {
    optimizer_.begin_micro_batch();
    const typed_span gradient = optimizer_.gradients(0).gradient(0);
    std::fill_n(static_cast<float*>(gradient.data), gradient.count, 0.01F);
    optimizer_.reduce(0);
    return seconds([&] {
      optimizer_.step(1e-4F);
      static_cast<void>(optimizer_.tiers());  // what was spilled is there
    });
  }

 private:
  static partition::model_spec model(const settings& s) {
    partition::parameter_spec weight;
    weight.name = "weight";
    weight.shape = {s.elements()};
    return {{{"unit", {weight}}}};
  }
  static engine_options options(const settings& s) {
    engine_options o;
    o.tiers.optimizer = partition::tier::disk;
    o.tiers.depth = s.depth;
    o.tiers.cell_elements = s.cell;
    o.disk_directory = s.directory;
    o.make_disk = [s] { return s.disk(); };
    return o;
  }
  std::unique_ptr<collectives::communicator> ranks_;
  sharded_optimizer optimizer_;
};

// The same records and the same arithmetic by hand.
class parts {
 public:
  explicit parts(const settings& s)
      : s_(s),
        record_(s.cell * 12),
        count_(s.elements() / s.cell),
        arena_({{record_ * static_cast<std::size_t>(s.depth), 1},
                {static_cast<std::size_t>(s.elements() * 4), 1}}),
        tier_(s.disk(), offload::swap_file(s.directory),
              std::vector<std::uint64_t>(count_, record_)),
        lane_(copies_, offload::tier_lane_options{}) {
    blocks_ = static_cast<std::byte*>(arena_.allocate(record_ * static_cast<std::size_t>(s.depth)));
    gradient_ = static_cast<float*>(arena_.allocate(s.elements() * 4));
    tier_.register_memory(blocks_, record_ * static_cast<std::size_t>(s.depth));
    write();
  }

  double read() {
    return seconds([&] { pass([&](std::size_t i, std::byte* block) { return fetch(i, block); }); });
  }
  double write() {
    return seconds([&] { pass([&](std::size_t i, std::byte* block) { return spill(i, block); }); });
  }
  double both() {
    return seconds([&] {
      const auto ahead = static_cast<std::size_t>(s_.depth);
      std::vector<completion> come(ahead);
      std::vector<completion> gone(ahead);
      for (std::size_t i = 0; i < count_ + ahead / 2; ++i) {
        if (i < count_) {
          gone[i % ahead].wait();
          come[i % ahead] = fetch(i, block_of(i));
        }
        if (i < ahead / 2) continue;
        const std::size_t done = i - ahead / 2;
        come[done % ahead].wait();
        gone[done % ahead] = spill(done, block_of(done));
      }
      lane_.drain();
    });
  }
  double update() {
    return seconds([&] {
      for (std::size_t i = 0; i < count_; ++i) update(i);
    });
  }
  double serial() {
    return seconds([&] {
      for (std::size_t i = 0; i < count_; ++i) {
        fetch(i, block_of(i)).wait();
        update(i);
        spill(i, block_of(i)).wait();
      }
    });
  }

 private:
  [[nodiscard]] std::byte* block_of(std::size_t i) const {
    return blocks_ + (i % static_cast<std::size_t>(s_.depth)) * record_;
  }
  completion fetch(std::size_t i, std::byte* block) {
    return lane_.fetch(tier_, i, {block, memory_place::host}, record_, 0);
  }
  completion spill(std::size_t i, std::byte* block) {
    return lane_.spill({block, memory_place::host}, record_, tier_, i, 0);
  }
  template <typename Move>
  void pass(const Move& move) {
    const auto ahead = static_cast<std::size_t>(s_.depth);
    std::vector<completion> last(ahead);
    for (std::size_t i = 0; i < count_; ++i) {
      last[i % ahead].wait();
      last[i % ahead] = move(i, block_of(i));
    }
    lane_.drain();
  }
  void update(std::size_t i) {
    auto* const arrays = reinterpret_cast<float*>(block_of(i));
    optim::update_spans spans;
    spans.count = s_.cell;
    spans.master = arrays;
    spans.state[0] = arrays + s_.cell;
    spans.state[1] = arrays + 2 * s_.cell;
    spans.gradient = {gradient_ + i * s_.cell, s_.cell, dtype::fp32};
    optim::hyper constants;
    optim::update(optim::algorithm::adamw, constants, {1, 1.0F}, spans);
  }

  settings s_;
  std::uint64_t record_;
  std::size_t count_;
  host_copier copies_;
  offload::host_arena arena_;
  offload::disk_tier tier_;
  offload::tier_lane lane_;
  std::byte* blocks_ = nullptr;
  float* gradient_ = nullptr;
};

int run(const settings& s) {
  engine_run engine(s);
  parts alone(s);
  engine.step();
  std::vector<double> read;
  std::vector<double> write;
  std::vector<double> both;
  std::vector<double> update;
  std::vector<double> serial;
  std::vector<double> pipeline;
  std::vector<double> of_slowest;
  std::vector<double> of_both;
  std::vector<double> of_serial;
  for (int round = 0; round < s.rounds; ++round) {
    read.push_back(alone.read());
    update.push_back(alone.update());
    write.push_back(alone.write());
    pipeline.push_back(engine.step());
    both.push_back(alone.both());
    serial.push_back(alone.serial());
    const double slowest = std::max({read.back(), update.back(), write.back()});
    of_slowest.push_back(slowest / pipeline.back());
    of_both.push_back(std::max(both.back(), update.back()) / pipeline.back());
    of_serial.push_back(serial.back() / pipeline.back());
  }
  const double gib = static_cast<double>(s.elements()) * 12 / (1 << 30);
  std::printf("%.2f GiB of states in records of %.2f MiB, %d under way\n", gib,
              static_cast<double>(s.cell) * 12 / (1 << 20), s.depth);
  const auto line = [&](const char* what, const std::vector<double>& taken) {
    std::printf("  %-22s %8.3f s  %6.2f GiB/s\n", what, median(taken), gib / median(taken));
  };
  line("read alone", read);
  line("update alone", update);
  line("write alone", write);
  line("read and write at once", both);
  line("one after the other", serial);
  line("pipeline", pipeline);
  std::printf(
      "pipeline: %.2f of the slowest alone, %.2f of reading and writing at once, "
      "%.2f times the serial order\n",
      median(of_slowest), median(of_both), median(of_serial));
  return 0;
}

}  // namespace
}  // namespace zero

int main(int count, char** arguments) {
  zero::settings s;
  if (count > 1) s.directory = arguments[1];
  if (count > 2) s.bytes = std::strtoull(arguments[2], nullptr, 10) << 20;
  if (count > 3) s.rounds = std::atoi(arguments[3]);
  if (count > 4) s.depth = std::atoi(arguments[4]);
  if (count > 6) {
    s.read_rate = std::atof(arguments[5]) * (1 << 20);
    s.write_rate = std::atof(arguments[6]) * (1 << 20);
  }
  if (s.rounds < 1 || s.elements() == 0) {
    std::fprintf(stderr,
                 "usage: update_from_disk [DIRECTORY [MEBIBYTES [ROUNDS [DEPTH [READ WRITE]]]]]\n");
    return 2;
  }
  try {
    return zero::run(s);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "update_from_disk: %s\n", e.what());
    return 1;
  }
}
