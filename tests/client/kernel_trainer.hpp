#pragma once
// A trainer whose kernels are those of a processor, on a stream of its own: the same trainer on the
// host, on a device made of threads and on a GPU, where its memory is. A stack of three slices of
// several granules of a GPU each, a unit each, and a few elements beside them; the gradient is the
// weight and what this rank's sample adds.

#include "ranks_handle.hpp"

#include <zero/optim/processor.hpp>
#include <zero/zero.h>

#include <cstddef>
#include <string>
#include <vector>

namespace zero::testing {

struct kernel_run {
  int stage = 0;
  int steps = 3;
  bool placed = false;
  bool stable = false;
  int device = -1;
  std::size_t slice = 1310729;  // elements: 5 MB, and pages are shared
};

// Where a trainer's kernels run, and where its memory comes from.
struct kernel_place {
  optim::processor& kernels;
  memory_resource& memory;
};

struct kernel_result {
  std::vector<float> parameters;
  double norm = 0;     // of the last step
  std::string report;  // zero_report_json
};

// One rank's training; throws what the library refuses.
[[nodiscard]] kernel_result train_by_kernels(zero_ranks& ranks, const kernel_place& place,
                                             const kernel_run& run);

// Every rank's, on the host, of which one result is enough.
[[nodiscard]] kernel_result train_by_host_kernels(int ranks, const kernel_run& run);

}  // namespace zero::testing
