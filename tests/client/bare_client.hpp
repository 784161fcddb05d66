#pragma once
// What tests of single calls are made with: a handle, segments, and what the system knows of
// memory.

#include "flat_trainer.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace zero::testing {

// Asks the system, which does not fault.
inline bool readable(const void* memory) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) throw std::runtime_error("pipe");
  const bool can = write(ends[1], memory, 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return can;
}

inline std::size_t resident_pages(const void* memory, std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> there((bytes + page - 1) / page);
  if (mincore(const_cast<void*>(memory), bytes, there.data()) != 0) {
    throw std::runtime_error("mincore");
  }
  return static_cast<std::size_t>(
      std::count_if(there.begin(), there.end(), [](unsigned char p) { return (p & 1) != 0; }));
}

inline zero_segment named(const char* name, float* parameter, float* gradient, std::uint64_t count,
                          int unit = 0) {
  zero_segment s{};
  s.name = name;
  s.parameter = parameter;
  s.gradient = gradient;
  s.count = count;
  s.unit = unit;
  return s;
}

struct handle {
  handle(zero_ranks& ranks, const flat_run& run) : z(create(ranks, config_of(run))) {}
  ~handle() { zero_close(z); }
  zero_optimizer* z;
};

inline flat_run sgd(int stage) {
  flat_run run;
  run.stage = stage;
  run.rule = ZERO_SGD;
  run.weight_decay = 0;
  run.momentum = 0;
  return run;
}

}  // namespace zero::testing
