#include "offload/disk_cases.hpp"

#include "offload/plain_disk.hpp"

#include <memory>
#include <string>

namespace zero::bench {
namespace {

disk_case case_of(const settings& s) {
  disk_case c;
  c.directory = s.directory;
  c.bytes = s.bytes / c.block * c.block;
  c.passes = 1;
  return c;
}

void run_case(benchmark::State& state, const settings& s, pattern p, bool records) {
  const disk_case c = case_of(s);
  const named_file file(c);
  const block_memory memory(c);
  const auto store = records ? std::make_unique<store_run>(c) : nullptr;
  take_turns(
      state, static_cast<double>(c.bytes),
      [&] { return (store ? store->run(p) : run_engine(c, file, memory, p)).seconds; },
      [&] { return run_plainly(c, file, memory, p); });
}

}  // namespace

void register_disk(const settings& s, pattern p) {
  for (const bool records : {false, true}) {
    const std::string name = std::string(records ? "store" : "engine") + "/" + name_of(p);
    in_turns(benchmark::RegisterBenchmark(
                 name.c_str(), [=](benchmark::State& state) { run_case(state, s, p, records); }),
             s);
  }
}

}  // namespace zero::bench
