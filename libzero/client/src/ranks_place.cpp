// Questions about a rank, and its end.

#include "ranks_handle.hpp"

int32_t zero_ranks_rank(const zero_ranks* ranks) {
  return ranks == nullptr ? 0 : ranks->reach().rank();
}

int32_t zero_ranks_size(const zero_ranks* ranks) {
  return ranks == nullptr ? 0 : ranks->reach().size();
}

int32_t zero_ranks_local_rank(const zero_ranks* ranks) {
  return ranks == nullptr ? 0 : ranks->local_rank;
}

void zero_ranks_destroy(zero_ranks* ranks) {
  if (ranks == nullptr || ranks->in_use) return;
  delete ranks;
}
