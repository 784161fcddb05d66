// The disk engine against fio: the same file, block size and depth, direct, one pass of each in
// turn. And beside it what a record_store reaches, which hashes every byte.
//   bench_disk [--directory DIR] [--bytes 1GiB] [--block 1MiB] [--depth 16] [--pairs 9]
//              [--engine automatic|uring|threads] [--pages huge|small] [--json FILE]
// Prints medians over the pairs: of rates, of processor seconds per GiB, and of the ratios of each
// pair, which are what counts on a noisy machine. Huge pages are what a host_arena gets where
// the system allows them; fio is given them too (by glibc 2.35 or newer).
#include "offload/disk_run.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>

#include <nlohmann/json.hpp>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace zero;
using namespace zero::bench;

struct settings {
  disk_case disk;
  int pairs = 9;
  std::string json;
};

settings parse(int count, char** words) {
  std::map<std::string, std::string> given;
  for (int i = 1; i + 1 < count; i += 2) given[words[i]] = words[i + 1];
  if (count % 2 == 0) throw invalid_argument(std::string("no value after ") + words[count - 1]);
  settings s;
  for (const auto& [name, value] : given) {
    if (name == "--directory") {
      s.disk.directory = value;
    } else if (name == "--bytes") {
      s.disk.bytes = parse_bytes(value);
    } else if (name == "--block") {
      s.disk.block = parse_bytes(value);
    } else if (name == "--depth") {
      s.disk.depth = static_cast<int>(parse_count(value));
    } else if (name == "--pairs") {
      s.pairs = static_cast<int>(parse_count(value));
    } else if (name == "--json") {
      s.json = value;
    } else if (name == "--pages" && (value == "huge" || value == "small")) {
      s.disk.huge_pages = value == "huge";
    } else if (name == "--engine" && value == "uring") {
      s.disk.engine = offload::disk_engine_kind::uring;
    } else if (name == "--engine" && value == "threads") {
      s.disk.engine = offload::disk_engine_kind::threads;
    } else if (name != "--engine" || value != "automatic") {
      throw invalid_argument("what is " + name + " " + value);
    }
  }
  if (s.disk.block == 0 || s.disk.block % 4096 != 0 || s.disk.bytes < 2 * s.disk.block ||
      s.disk.depth < 1 || s.pairs < 1) {
    throw invalid_argument(
        "blocks are multiples of 4096, at least two of them; depth and pairs > 0");
  }
  s.disk.bytes = s.disk.blocks() / 2 * 2 * s.disk.block;
  return s;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <typename Value>
double median_of(const std::vector<pass>& passes, Value value) {
  std::vector<double> values;
  for (const pass& p : passes) values.push_back(value(p));
  return median(values);
}

// Medians of one contestant, and of its ratios to fio in the same pair.
nlohmann::json summary(const std::vector<pass>& own, const std::vector<pass>& fio) {
  const auto rate = [](const pass& p) { return p.rate(); };
  const auto cpu = [](const pass& p) { return p.cpu_per_gib(); };
  std::vector<double> rates, cpus;
  for (std::size_t i = 0; i < own.size(); ++i) {
    rates.push_back(own[i].rate() / fio[i].rate());
    cpus.push_back(own[i].cpu_per_gib() / fio[i].cpu_per_gib());
  }
  return {{"bytes_per_second", median_of(own, rate)},
          {"cpu_seconds_per_gib", median_of(own, cpu)},
          {"rate_of_fio", median(rates)},
          {"cpu_of_fio", median(cpus)},
          {"rate_of_fio_by_pair", rates},
          {"cpu_of_fio_by_pair", cpus}};
}

void print(const char* way, const char* who, const nlohmann::json& s) {
  std::printf(
      "%-6s %-14s %7.2f GB/s  %6.3f s/GiB  %5.2f of fio's rate  %5.2f of its processor time\n", way,
      who, s["bytes_per_second"].get<double>() / 1e9, s["cpu_seconds_per_gib"].get<double>(),
      s["rate_of_fio"].get<double>(), s["cpu_of_fio"].get<double>());
  std::fflush(stdout);
}

int run(const settings& s) {
  if (!s.disk.huge_pages && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) {
    throw error("the system does not leave its huge pages");
  }
  const named_file file(s.disk);
  engine_run engine(s.disk, file);
  store_run store(s.disk);
  nlohmann::json report = {
      {"schema", "zero.bench.disk/1"}, {"bytes", s.disk.bytes}, {"block", s.disk.block},
      {"depth", s.disk.depth},         {"pairs", s.pairs},      {"engine", engine.engine_name()}};
  std::printf("%s in blocks of %s, depth %d, %d pairs, engine %s, %s pages\n",
              format_bytes(s.disk.bytes).c_str(), format_bytes(s.disk.block).c_str(), s.disk.depth,
              s.pairs, engine.engine_name(), s.disk.huge_pages ? "huge" : "small");
  for (const pattern p : {pattern::read, pattern::write, pattern::mixed}) {
    std::vector<pass> fios, engines, stores;
    for (int pair = -1; pair < s.pairs; ++pair) {
      // Whoever comes first may pay for what came before it: they take turns at that too.
      pass fio, own;
      if (pair % 2 == 0) fio = run_fio(s.disk, file, p);
      own = engine.run(p);
      if (pair % 2 != 0) fio = run_fio(s.disk, file, p);
      const pass records = store.run(p);
      if (pair < 0) continue;  // to warm up
      fios.push_back(fio);
      engines.push_back(own);
      stores.push_back(records);
    }
    auto& out = report["patterns"][name_of(p)];
    out["fio"] = summary(fios, fios);
    out["engine"] = summary(engines, fios);
    out["store"] = summary(stores, fios);
    print(name_of(p), "fio", out["fio"]);
    print(name_of(p), "transfer_queue", out["engine"]);
    print(name_of(p), "record_store", out["store"]);
  }
  if (!s.json.empty()) std::ofstream(s.json) << report.dump(2) << "\n";
  return 0;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run(parse(count, words));
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "bench_disk: %s\n", failed.what());
    return 1;
  }
}
