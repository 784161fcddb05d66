// The disk engine against fio: the same file, block size and depth, direct, some passes over the
// file by each in turn. And beside it what a record_store reaches, which hashes every byte, and
// what hashing and reading memory cost.
//   bench_disk [--directory DIR] [--bytes 1GiB] [--block 1MiB] [--depth 16] [--passes 4] [--pairs
//   9]
//              [--engine automatic|uring|threads] [--fio io_uring|libaio] [--pages huge|small]
//              [--registered yes|no] [--json FILE]
// Prints medians over the pairs: of rates, of processor seconds per GiB, and of the ratios of each
// pair, which are what counts on a noisy machine. Ends with 1 where the ratios of the engine are
// not what libzero promises: 0.95 of the rate at least, 1.3 of the processor time at most. Huge
// pages are what a host_arena gets where the system allows them; fio is given them too (by
// glibc 2.35 or newer).
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

// Of fio's, for the medians of the engine.
constexpr double least_rate = 0.95;
constexpr double most_cpu = 1.3;

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
    } else if (name == "--passes") {
      s.disk.passes = static_cast<int>(parse_count(value));
    } else if (name == "--fio" && (value == "io_uring" || value == "libaio")) {
      s.disk.fio_engine = value;
    } else if (name == "--registered" && (value == "yes" || value == "no")) {
      s.disk.registered = value == "yes";
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
      s.disk.depth < 1 || s.disk.passes < 1 || s.pairs < 1) {
    throw invalid_argument(
        "blocks are multiples of 4096, at least two of them; depth, passes and pairs > 0");
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

struct contest {
  std::vector<pass> fio, engine, store;
};

contest compare(const settings& s, const named_file& file, store_run& store, pattern p) {
  contest all;
  const block_memory memory(s.disk);
  for (int pair = -1; pair < s.pairs; ++pair) {
    // Whoever comes first may pay for what came before it: they take turns at that too.
    pass fio, own;
    if (pair % 2 == 0) fio = run_fio(s.disk, file, memory, p);
    own = run_engine(s.disk, file, memory, p);
    if (pair % 2 != 0) fio = run_fio(s.disk, file, memory, p);
    const pass records = store.run(p);
    if (pair < 0) continue;  // to warm up
    all.fio.push_back(fio);
    all.engine.push_back(own);
    all.store.push_back(records);
  }
  return all;
}

// What hashing costs a store: what it takes more than the engine alone, pair by pair.
nlohmann::json cost_of_hashing(const contest& c) {
  std::vector<double> more, shares;
  for (std::size_t i = 0; i < c.store.size(); ++i) {
    more.push_back(c.store[i].cpu_per_gib() - c.engine[i].cpu_per_gib());
    shares.push_back(more.back() / c.store[i].cpu_per_gib());
  }
  return {{"cpu_seconds_per_gib", median(more)}, {"share_of_the_stores", median(shares)}};
}

nlohmann::json cost_of_memory(int pairs) {
  std::vector<pass> reads, hashes;
  for (int i = 0; i < pairs; ++i) {
    const memory_pass once = run_memory(std::uint64_t{256} << 20);
    reads.push_back(once.read);
    hashes.push_back(once.hash);
  }
  const auto cpu = [](const pass& p) { return p.cpu_per_gib(); };
  return {{"read_cpu_seconds_per_gib", median_of(reads, cpu)},
          {"hash_cpu_seconds_per_gib", median_of(hashes, cpu)}};
}

nlohmann::json judge(const char* way, const contest& c) {
  nlohmann::json out = {{"fio", summary(c.fio, c.fio)},
                        {"engine", summary(c.engine, c.fio)},
                        {"store", summary(c.store, c.fio)},
                        {"hashing", cost_of_hashing(c)}};
  print(way, "fio", out["fio"]);
  print(way, "transfer_queue", out["engine"]);
  print(way, "record_store", out["store"]);
  const bool held = out["engine"]["rate_of_fio"].get<double>() >= least_rate &&
                    out["engine"]["cpu_of_fio"].get<double>() <= most_cpu;
  out["held"] = held;
  std::printf("%-6s %-14s checksums take %.3f s/GiB more, %.0f %% of the store's; engine %s\n", way,
              "", out["hashing"]["cpu_seconds_per_gib"].get<double>(),
              out["hashing"]["share_of_the_stores"].get<double>() * 100,
              held ? "as promised" : "NOT AS PROMISED");
  std::fflush(stdout);
  return out;
}

// Whether fio may lock as much memory as it would register.
bool fio_registers(disk_case c, const named_file& file) {
  c.passes = 1;
  try {
    (void)run_fio(c, file, block_memory(c), pattern::read);
    return true;
  } catch (const error&) {
    return false;
  }
}

int run(settings s) {
  if (!s.disk.huge_pages && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) {
    throw error("the system does not leave its huge pages");
  }
  const named_file file(s.disk);
  s.disk.fio_registered = s.disk.registered && fio_registers(s.disk, file);
  store_run store(s.disk);
  nlohmann::json report = {{"schema", "zero.bench.disk/2"},
                           {"bytes", s.disk.bytes},
                           {"block", s.disk.block},
                           {"depth", s.disk.depth},
                           {"passes", s.disk.passes},
                           {"pairs", s.pairs},
                           {"fio", s.disk.fio_engine},
                           {"engine", engine_name(s.disk)},
                           {"huge_pages", s.disk.huge_pages},
                           {"registered", s.disk.registered},
                           {"fio_registered", s.disk.fio_registered}};
  std::printf("%d x %s in blocks of %s, depth %d, %d pairs, engine %s, fio's %s, %s pages%s\n",
              s.disk.passes, format_bytes(s.disk.bytes).c_str(), format_bytes(s.disk.block).c_str(),
              s.disk.depth, s.pairs, engine_name(s.disk).c_str(), s.disk.fio_engine.c_str(),
              s.disk.huge_pages ? "huge" : "small",
              s.disk.fio_registered ? ", registered"
              : s.disk.registered   ? ", registered but for fio's: the limit on locked memory"
                                    : "");
  bool held = true;
  for (const pattern p : {pattern::read, pattern::write, pattern::mixed}) {
    report["patterns"][name_of(p)] = judge(name_of(p), compare(s, file, store, p));
    held = held && report["patterns"][name_of(p)]["held"].get<bool>();
  }
  report["memory"] = cost_of_memory(s.pairs);
  std::printf("memory: hashing takes %.3f s/GiB, reading it and no more %.3f\n",
              report["memory"]["hash_cpu_seconds_per_gib"].get<double>(),
              report["memory"]["read_cpu_seconds_per_gib"].get<double>());
  if (!s.json.empty()) std::ofstream(s.json) << report.dump(2) << "\n";
  return held ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run(parse(count, words));
  } catch (const std::exception& failed) {
    std::fprintf(stderr, "bench_disk: %s\n", failed.what());
    return 2;
  }
}
