// A program that knows of ranks only what zero_ranks_environment says. Each writes one line: who it
// is, and the sum over all of 1, 2, 4, ... by rank.

#include "ranks_handle.hpp"

#include <zero/ranks.h>

#include <cstdio>
#include <exception>

int main() {
  zero_ranks* ranks = nullptr;
  zero_message why;
  const zero_status status = zero_ranks_environment(&ranks, &why);
  if (status != ZERO_OK) {
    std::printf("%s\n", why.text);
    return status;
  }
  auto sum = static_cast<float>(1 << zero_ranks_rank(ranks));
  try {
    ranks->communicator->all_reduce({&sum, 1, zero::dtype::fp32}).wait();
  } catch (const std::exception& e) {
    std::printf("%s\n", e.what());
    return ZERO_FAILURE;
  }
  std::printf("rank %d of %d has %g\n", zero_ranks_rank(ranks), zero_ranks_size(ranks),
              static_cast<double>(sum));
  zero_ranks_destroy(ranks);
  return 0;
}
