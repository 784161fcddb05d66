// A client's own NCCL communicator as the means by which ranks meet.
#include "device/poll.hpp"
#include "nccl/nccl_call.hpp"

#include <zero/base/error.hpp>
#include <zero/base/native_cuda.hpp>
#include <zero/collectives/nccl.hpp>

#include <algorithm>
#include <chrono>
#include <string>

namespace zero::collectives {
namespace {

// Device memory and a stream for one broadcast. Kept where the broadcast is not over: NCCL may
// still write, and freeing would wait for it.
class exchange_room {
 public:
  exchange_room(int ordinal, std::size_t bytes) : ordinal_(ordinal) {
    const cuda::current_device here(ordinal_);
    cuda::checked(cudaMalloc(&memory_, std::max<std::size_t>(bytes, 1)), "cudaMalloc");
    const cudaError_t made = cudaStreamCreateWithFlags(&queue_, cudaStreamNonBlocking);
    if (made == cudaSuccess) return;
    cuda::unchecked(cudaFree(memory_));
    cuda::checked(made, "cudaStreamCreateWithFlags");
  }
  exchange_room(const exchange_room&) = delete;
  exchange_room& operator=(const exchange_room&) = delete;
  ~exchange_room() {
    if (!is_quiet_) return;
    cuda::unchecked(cudaStreamDestroy(queue_));
    cuda::unchecked(cudaFree(memory_));
  }

  // Blocks until `bytes` are those of rank 0.
  void broadcast(void* bytes, std::size_t count, ncclComm_t ranks,
                 std::chrono::milliseconds patience) {
    const cuda::current_device here(ordinal_);
    cuda::checked(cudaMemcpy(memory_, bytes, count, cudaMemcpyHostToDevice), "cudaMemcpy");
    is_quiet_ = false;
    settle(ncclBroadcast(memory_, memory_, count, ncclUint8, 0, ranks, queue_), "ncclBroadcast",
           ranks, {patience, {}});
    cudaError_t state = cudaErrorNotReady;
    const auto over = [&] {
      ncclResult_t failed = ncclSuccess;
      check_nccl(ncclCommGetAsyncError(ranks, &failed), "ncclCommGetAsyncError", ranks);
      if (failed != ncclInProgress) check_nccl(failed, "ncclBroadcast", ranks);
      state = cudaStreamQuery(queue_);
      return state != cudaErrorNotReady;
    };
    if (!poll(over, patience)) {
      throw peer_lost(
          "[collectives.nccl] ncclBroadcast of the client's communicator was not over "
          "after " +
              std::to_string(patience.count()) + " ms",
          {});
    }
    is_quiet_ = true;
    cuda::checked(state, "cudaStreamQuery");
    cuda::checked(cudaMemcpy(bytes, memory_, count, cudaMemcpyDeviceToHost), "cudaMemcpy");
  }

 private:
  int ordinal_;
  void* memory_ = nullptr;
  cudaStream_t queue_ = nullptr;
  bool is_quiet_ = true;
};

}  // namespace

nccl_ranks ranks_of_nccl(void* communicator, cuda_device& device,
                         std::int64_t deadline_milliseconds) {
  if (communicator == nullptr) throw invalid_argument("[collectives.nccl] the ncclComm_t is null");
  auto* const ranks = static_cast<ncclComm_t>(communicator);
  int of_device = -1;
  nccl_ranks found;
  check_nccl(ncclCommCuDevice(ranks, &of_device), "ncclCommCuDevice", ranks);
  check_nccl(ncclCommUserRank(ranks, &found.who.rank), "ncclCommUserRank", ranks);
  check_nccl(ncclCommCount(ranks, &found.who.size), "ncclCommCount", ranks);
  if (of_device != device.ordinal()) {
    throw invalid_argument("[collectives.nccl] the ncclComm_t is of device " +
                           std::to_string(of_device) + ", not of " +
                           std::to_string(device.ordinal()));
  }
  const std::chrono::milliseconds patience(deadline_milliseconds);
  found.exchange = [ranks, of_device, patience](std::vector<std::uint8_t>& bytes) {
    std::uint64_t count = bytes.size();
    exchange_room(of_device, sizeof count).broadcast(&count, sizeof count, ranks, patience);
    bytes.resize(count);
    exchange_room(of_device, count).broadcast(bytes.data(), count, ranks, patience);
  };
  return found;
}

}  // namespace zero::collectives
