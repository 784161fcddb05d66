#pragma once
// What this build has and what of it works on this machine: the one table that `zero info` and
// error messages speak from.

#include <string>
#include <vector>

namespace zero::cli {

// Each of these becomes true together with the backend that makes it so.
struct features {
  bool cuda = false;
  bool nccl = false;
  bool io_uring = false;
};
inline constexpr features compiled_in{};

// Names of the SIMD targets this build may use on this processor, best first.
[[nodiscard]] std::vector<std::string> simd_targets();

// Names of the communication backends that work here, found out by trying each; but mpi is there if
// it was compiled in, for whether it works is seen where a launcher has started ranks.
[[nodiscard]] std::vector<std::string> working_backends();

}  // namespace zero::cli
