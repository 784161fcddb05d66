#pragma once
// cuda_stream: a CUDA stream as a lane, and the source of the completions recorded on it.
//
// A ticket's event is taken from a ring that is allocated once: ticket t has event t mod the
// ring's length. An event that has been recorded again since stands for a later ticket, and so for
// the earlier one too, since a stream works in order: waiting for it is right, and at worst longer
// than needed. It cannot wait in a circle: what an event stands for was queued before the wait.
//
// One thread at a time records and waits on the stream; completions may be waited for by any. In a
// stream that is being captured into a graph, record and waits of other streams may be captured;
// waits of the host may not.

#include <zero/base/native_cuda.hpp>
#include <zero/base/stream.hpp>

#include <atomic>
#include <cstdint>
#include <vector>

namespace zero::cuda {

class cuda_stream final : public stream, private completion_source {
 public:
  // Records kept apart; older ones are waited for by a later one's event.
  static constexpr std::size_t ring_length = 512;

  // On `borrowed` if it is not null, else on a stream of its own. `deadline` in milliseconds and
  // must outlive the stream. The device `ordinal` need not be current.
  cuda_stream(int ordinal, lane role, cudaStream_t borrowed,
              const std::atomic<std::int64_t>& deadline);
  // Waits for what was queued, at most for the deadline.
  ~cuda_stream() override;

  [[nodiscard]] completion record() override;
  [[nodiscard]] void* native() const noexcept override { return stream_; }

 private:
  void wait(std::uint64_t ticket) override;
  [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override;
  void order(std::uint64_t ticket, stream& later) override;
  [[nodiscard]] cudaEvent_t event_of(std::uint64_t ticket) const noexcept {
    return ring_[ticket % ring_length];
  }
  // What cudaEventQuery says, remembered if it is done.
  [[nodiscard]] cudaError_t query(std::uint64_t ticket) const noexcept;
  void release() noexcept;

  int ordinal_;
  bool owned_;
  cudaStream_t stream_;
  const std::atomic<std::int64_t>& deadline_;
  std::vector<cudaEvent_t> ring_;
  std::uint64_t next_ = 1;
  mutable std::atomic<std::uint64_t> done_{0};  // every ticket up to this one is done
};

}  // namespace zero::cuda
