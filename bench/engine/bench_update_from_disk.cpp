// bench_update_from_disk: the update of states that rest on a disk, as the engine makes it. The
// ceiling is the slowest of reading, updating in memory and writing, each alone. `of_both`: the
// same against reading and writing at once, for disks that have one rate for both; `over_serial`:
// times as fast as one after the other for each record. `paced`: the disk is held to 600 MiB/s each
// way, as drives have. --bytes is of the states.
#include "engine/disk_update.hpp"
#include "measure/measure.hpp"

#include <algorithm>

namespace zero::bench {
namespace {

constexpr double paced_rate = 600.0 * (1 << 20);

void run_case(benchmark::State& state, const disk_update& u) {
  engine_run engine(u);
  update_parts alone(u);
  std::vector<double> of_both, over_serial;
  take_turns(
      state, 2.0 * 12 * static_cast<double>(u.elements()),
      [&] {
        const double both = std::max(alone.both(), alone.update());
        const double serial = alone.serial();
        const double seconds = engine.step();
        of_both.push_back(both / seconds);
        over_serial.push_back(serial / seconds);
        return seconds;
      },
      [&] {
        return std::max({alone.read(), alone.update(), alone.write()});
      });
  state.counters["of_both"] = median(of_both);
  state.counters["over_serial"] = median(over_serial);
}

void register_cases(const settings& s) {
  for (const bool paced : {false, true}) {
    disk_update u;
    u.directory = s.directory;
    // At least as many records as can be under way.
    u.bytes = std::max(s.bytes, u.cell * 12 * static_cast<std::uint64_t>(u.depth));
    if (paced) u.read_rate = u.write_rate = paced_rate;
    in_turns(benchmark::RegisterBenchmark(paced ? "update_from_disk/paced" : "update_from_disk",
                                          [u](benchmark::State& state) { run_case(state, u); }),
             s);
  }
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 192 << 20, "/var/tmp"}, zero::bench::register_cases);
}
