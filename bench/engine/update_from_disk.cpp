// The update of optimizer states that rest on a disk beside what it is made of, as a table; the
// same with a ceiling and for scripts is bench_update_from_disk.
//
//   update_from_disk [DIRECTORY [MEBIBYTES [ROUNDS [DEPTH [READ WRITE]]]]]
//
// With READ and WRITE, MiB a second, the disk is held to those rates (paced_disk.hpp). Rounds are
// interleaved; what is printed are medians, and medians of ratios within a round.

#include "engine/disk_update.hpp"
#include "measure/measure.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

namespace zero {
namespace {

int run(const bench::disk_update& s, int rounds) {
  bench::engine_run engine(s);
  bench::update_parts alone(s);
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
  for (int round = 0; round < rounds; ++round) {
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
    std::printf("  %-22s %8.3f s  %6.2f GiB/s\n", what, bench::median(taken),
                gib / bench::median(taken));
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
      bench::median(of_slowest), bench::median(of_both), bench::median(of_serial));
  return 0;
}

}  // namespace
}  // namespace zero

int main(int count, char** arguments) {
  zero::bench::disk_update s;
  int rounds = 7;
  if (count > 1) s.directory = arguments[1];
  if (count > 2) s.bytes = std::strtoull(arguments[2], nullptr, 10) << 20;
  if (count > 3) rounds = std::atoi(arguments[3]);
  if (count > 4) s.depth = std::atoi(arguments[4]);
  if (count > 6) {
    s.read_rate = std::atof(arguments[5]) * (1 << 20);
    s.write_rate = std::atof(arguments[6]) * (1 << 20);
  }
  if (rounds < 1 || s.elements() == 0) {
    std::fprintf(stderr,
                 "usage: update_from_disk [DIRECTORY [MEBIBYTES [ROUNDS [DEPTH [READ WRITE]]]]]\n");
    return 2;
  }
  try {
    return zero::run(s, rounds);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "update_from_disk: %s\n", e.what());
    return 1;
  }
}
