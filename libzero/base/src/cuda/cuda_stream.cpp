#include "cuda_stream.hpp"

#include "patience.hpp"

#include <string>

namespace zero::cuda {
namespace {

// What moves bytes goes before what computes, so that a gather under way is not held up by kernels
// that were queued earlier.
cudaStream_t make(lane role) {
  int lowest = 0;
  int highest = 0;
  checked(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "cudaDeviceGetStreamPriorityRange");
  cudaStream_t made = nullptr;
  checked(cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking,
                                       role == lane::compute ? lowest : highest),
          "cudaStreamCreateWithPriority");
  return made;
}

}  // namespace

cuda_stream::cuda_stream(int ordinal, lane role, cudaStream_t borrowed,
                         const std::atomic<std::int64_t>& deadline)
    : ordinal_(ordinal), owned_(borrowed == nullptr), stream_(borrowed), deadline_(deadline) {
  const current_device here(ordinal_);
  ring_.reserve(ring_length);
  try {
    if (owned_) stream_ = make(role);
    for (std::size_t i = 0; i < ring_length; ++i) {
      cudaEvent_t made = nullptr;
      checked(cudaEventCreateWithFlags(&made, cudaEventDisableTiming), "cudaEventCreateWithFlags");
      ring_.push_back(made);
    }
  } catch (...) {
    release();
    throw;
  }
}

cuda_stream::~cuda_stream() {
  try {
    record().wait();
  } catch (...) {
    // Whoever had to know has waited; what is left is to give back what can be given back.
  }
  release();
}

void cuda_stream::release() noexcept {
  for (cudaEvent_t event : ring_) unchecked(cudaEventDestroy(event));
  if (owned_ && stream_ != nullptr) unchecked(cudaStreamDestroy(stream_));
}

// The default stream of the client's is that of whichever device is current.
completion cuda_stream::record() {
  const current_device here(ordinal_);
  checked(cudaEventRecord(event_of(next_), stream_), "cudaEventRecord");
  return {*this, next_++};
}

cudaError_t cuda_stream::query(std::uint64_t ticket) const noexcept {
  if (ticket <= done_.load(std::memory_order_acquire)) return cudaSuccess;
  const cudaError_t state = cudaEventQuery(event_of(ticket));
  if (state == cudaSuccess) {
    std::uint64_t before = done_.load(std::memory_order_relaxed);
    while (before < ticket && !done_.compare_exchange_weak(before, ticket)) {
    }
  } else if (state == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // an answer, not an error for the next check
  }
  return state;
}

bool cuda_stream::ready(std::uint64_t ticket) const noexcept {
  return query(ticket) != cudaErrorNotReady;
}

void cuda_stream::wait(std::uint64_t ticket) {
  cudaError_t state = query(ticket);
  if (state == cudaErrorNotReady) {
    patience left(deadline_.load(std::memory_order_relaxed));
    while ((state = query(ticket)) == cudaErrorNotReady) {
      if (!left.pause()) {
        throw peer_lost("[base.cuda_device] work on device " + std::to_string(ordinal_) +
                            " was not done after " + std::to_string(left.milliseconds()) + " ms",
                        {});
      }
    }
  }
  checked(state, "work queued on a stream");
}

void cuda_stream::order(std::uint64_t ticket, stream& later) {
  if (&later == this) return;  // in order anyway
  if (later.native() == nullptr) return wait(ticket);
  if (ticket <= done_.load(std::memory_order_acquire)) return;
  const current_device here(ordinal_);
  checked(cudaStreamWaitEvent(cuda::native(later), event_of(ticket), 0), "cudaStreamWaitEvent");
}

}  // namespace zero::cuda
