#pragma once
// A device made of a thread: work queued on its stream is done later, in order, by somebody else,
// as on an accelerator. What the engine queues without waiting for what it needs goes wrong here
// too, on a machine without one.
//
// Every piece of work starts after a pause of random length, so that orders that are not enforced
// do not come about by chance.

#include <zero/base/completion.hpp>
#include <zero/base/stream.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/optim/processor.hpp>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace zero::testing {

class queued_stream final : public stream, private completion_source {
 public:
  // longest_pause_us: before a piece of work, in microseconds; 0: none.
  explicit queued_stream(std::uint64_t seed, int longest_pause_us);
  // Does what is queued first.
  ~queued_stream() override;

  void run(std::function<void()> work);
  [[nodiscard]] completion record() override;
  void wait(const completion& before) override;
  [[nodiscard]] int longest_pause() const noexcept { return longest_pause_us_; }
  [[nodiscard]] void* native() const noexcept override { return const_cast<queued_stream*>(this); }

 private:
  void wait(std::uint64_t ticket) override;
  [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override;
  // Another stream whose native() is a queued_stream goes on after it, and nobody blocks.
  void order(std::uint64_t ticket, stream& later) override;
  void work_off();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queued_;
  std::uint64_t accepted_ = 0;
  std::uint64_t done_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;  // the first; nothing is done after it
  std::uint64_t random_;
  int longest_pause_us_;
  std::thread worker_;
};

// The host's arithmetic, queued on such a stream.
[[nodiscard]] std::unique_ptr<optim::processor> make_queued_processor(queued_stream& where);

// `ranks`, whose memory is said to be a device's. `ranks` must outlive it.
[[nodiscard]] std::unique_ptr<collectives::communicator> on_device(
    collectives::communicator& ranks);

}  // namespace zero::testing
