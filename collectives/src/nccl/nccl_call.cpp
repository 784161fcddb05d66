#include "nccl/nccl_call.hpp"

#include "device/poll.hpp"

#include <zero/base/cuda.hpp>
#include <zero/base/error.hpp>

#include <string>

namespace zero::collectives {

void check_nccl(ncclResult_t code, const char* call, ncclComm_t ranks) {
  if (code == ncclSuccess) return;
  std::string text = ncclGetErrorString(code);
  const char* const last = ncclGetLastError(ranks);
  if (last != nullptr && *last != '\0') text += std::string(" (") + last + ")";
  const bool memory = text.find("out of memory") != std::string::npos;
  throw cuda_error(call, static_cast<int>(code), text,
                   memory ? error_class::resource : error_class::failure);
}

void settle(ncclResult_t begun, const char* call, ncclComm_t ranks, const nccl_patience& patience) {
  ncclResult_t state = begun;
  bool given_up = false;
  const auto over = [&] {
    if (state != ncclSuccess && state != ncclInProgress) return true;
    check_nccl(ncclCommGetAsyncError(ranks, &state), "ncclCommGetAsyncError", ranks);
    given_up = patience.going_on && !patience.going_on();
    return state != ncclInProgress || given_up;
  };
  const bool in_time = poll(over, patience.limit);
  if (state != ncclInProgress) return check_nccl(state, call, ranks);
  throw peer_lost(std::string("[collectives.nccl] ") + call +
                      (in_time && given_up ? " was given up: another rank failed"
                                           : " was not over after " +
                                                 std::to_string(patience.limit.count()) + " ms"),
                  {});
}

}  // namespace zero::collectives
