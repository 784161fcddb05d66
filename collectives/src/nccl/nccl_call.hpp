#pragma once
// What is common to all calls of NCCL: errors become cuda_error, and a call of a communicator that
// does not block is waited for, to a deadline.
//
// Thread-safe.

#include <nccl.h>

#include <chrono>
#include <functional>

namespace zero::collectives {

// Throws cuda_error unless `code` is success; of class resource where memory ran out. `ranks` may
// be null.
void check_nccl(ncclResult_t code, const char* call, ncclComm_t ranks);

struct nccl_patience {
  std::chrono::milliseconds limit{30'000};
  std::function<bool()> going_on;  // empty: always
};

// Waits until what `call` began on `ranks`, with this result, is over. Throws cuda_error, peer_lost
// when the time is over or somebody else has failed.
void settle(ncclResult_t begun, const char* call, ncclComm_t ranks, const nccl_patience& patience);

}  // namespace zero::collectives
