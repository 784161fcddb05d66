// bench_cast: conversion and accumulation against plain read-modify-write. --bytes is of an array
// of fp32.
#include "cases.hpp"
#include "ceiling.hpp"

#include <zero/optim/elementwise.hpp>

#include <algorithm>

namespace zero::bench {
namespace {

// Reads and writes `bytes` in all an element, in place: 4 bytes of one array, the rest of another.
range_work plain(arrays& a, std::size_t bytes) {
  return [&a, bytes](std::size_t begin, std::size_t end) {
    const std::size_t first = std::min<std::size_t>(bytes / 2, 4);
    const std::size_t rest = bytes / 2 - first;
    auto* at = reinterpret_cast<unsigned char*>(a.master.data()) + begin * first;
    auto* beside = reinterpret_cast<unsigned char*>(a.state1.data()) + begin * rest;
    const stream streams[] = {{at, (end - begin) * first, 128 * first},
                              {beside, (end - begin) * rest, 128 * rest}};
    std::uint32_t mask = 0;
    benchmark::DoNotOptimize(mask);
    read_modify_write(streams, rest > 0 ? 2 : 1, mask);
  };
}

void run_convert(benchmark::State& state, arrays& a, dtype in, dtype out) {
  const const_typed_span from = a.gradient(in);
  const typed_span to{out == dtype::fp32 ? static_cast<void*>(a.state0.data()) : a.parameter.data(),
                      a.count, out};
  const std::size_t bytes = size_of(in) + size_of(out);
  measure(
      state, a.count, static_cast<double>(bytes),
      [&](std::size_t begin, std::size_t end) {
        optim::convert(from.part(begin, end - begin), to.part(begin, end - begin));
      },
      plain(a, bytes));
}

void run_accumulate(benchmark::State& state, arrays& a, dtype in) {
  const const_typed_span from = a.gradient(in);
  const typed_span to{a.state0.data(), a.count, dtype::fp32};
  const std::size_t bytes = size_of(in) + 8;
  measure(
      state, a.count, static_cast<double>(bytes),
      [&](std::size_t begin, std::size_t end) {
        optim::accumulate(from.part(begin, end - begin), to.part(begin, end - begin));
      },
      plain(a, bytes));
}

void register_cases(const settings& s) {
  const auto a = std::make_shared<arrays>(elements_of(s.bytes));
  for (const dtype type : {dtype::fp32, dtype::bf16, dtype::fp16}) {
    on_threads(std::string("accumulate/") + name_of(type) + "/fp32", s,
               [a, type](benchmark::State& state) { run_accumulate(state, *a, type); });
  }
  for (const dtype type : {dtype::bf16, dtype::fp16}) {
    const std::string name = name_of(type);
    on_threads("cast/fp32/" + name, s,
               [a, type](benchmark::State& state) { run_convert(state, *a, dtype::fp32, type); });
    on_threads("cast/" + name + "/fp32", s,
               [a, type](benchmark::State& state) { run_convert(state, *a, type, dtype::fp32); });
  }
}

}  // namespace
}  // namespace zero::bench

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 128 << 20, "/var/tmp"}, zero::bench::register_cases);
}
