#pragma once
// What this build has and what of it works on this machine: the one table that `zero info` and
// error messages speak from.

#include <cstdint>
#include <string>
#include <vector>

namespace zero::cli {

// Each of these becomes true together with the backend that makes it so.
struct features {
  bool cuda = false;
  bool nccl = false;
  bool mpi = false;
  bool io_uring = false;
};
[[nodiscard]] features compiled_in() noexcept;

// A GPU that this build can use here.
struct gpu {
  std::string name;
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
};
// By ordinal; none where CUDA is not compiled in or does not work. Devices that are there and
// cannot be used are left out.
[[nodiscard]] std::vector<gpu> gpus();
// Why gpus() is empty, in one line; empty if it is not.
[[nodiscard]] std::string why_no_gpus();

// Names of the SIMD targets this build may use on this processor, best first.
[[nodiscard]] std::vector<std::string> simd_targets();

// Names of the communication backends that work here, found out by trying each; but mpi is there if
// it was compiled in, for whether it works is seen where a launcher has started ranks.
[[nodiscard]] std::vector<std::string> working_backends();

}  // namespace zero::cli
