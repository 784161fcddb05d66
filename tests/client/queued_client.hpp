#pragma once
// A client's device made of threads: one that works for the library, one for the trainer's own
// stream, both late at random, in memory whose pages can be mapped. On a machine without a GPU what
// is not ordered by the library goes wrong here.

#include "client_device.hpp"
#include "device_range.hpp"
#include "flat_trainer.hpp"
#include "support/queued_device.hpp"

#include <zero/base/memory_resource.hpp>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>

namespace zero::testing {

// A stream of the client's as the library sees it.
class borrowed_stream final : public stream {
 public:
  explicit borrowed_stream(queued_stream& lent) : lent_(lent) {}
  [[nodiscard]] completion record() override { return lent_.record(); }
  void wait(const completion& before) override { lent_.wait(before); }
  [[nodiscard]] void* native() const noexcept override { return lent_.native(); }

 private:
  queued_stream& lent_;
};

// What is given back is no numbers at once, whoever uses it still.
class spoiling_memory final : public memory_resource {
 public:
  explicit spoiling_memory(memory_resource& from) : from_(from) {}
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    void* const block = from_.allocate(bytes);
    std::memset(block, 0, bytes);
    return block;
  }
  void deallocate(void* block, std::size_t bytes) noexcept override {
    std::memset(block, 0xFF, bytes);
    from_.deallocate(block, bytes);
  }
  [[nodiscard]] memory_place place() const noexcept override { return memory_place::device; }
  [[nodiscard]] address_space* mappings() noexcept override { return from_.mappings(); }

 private:
  memory_resource& from_;
};

class queued_client_device final : public client::client_device {
 public:
  // `ranks` and `usual`, the device's default stream, must outlive it.
  queued_client_device(collectives::communicator& ranks, queued_stream& usual)
      : usual_(usual),
        lane_(static_cast<std::uint64_t>(ranks.rank()) + 17, usual.longest_pause()),
        ranks_(on_device(ranks)),
        memory_(ranks_->memory()),
        work_(make_queued_processor(lane_)) {}

  [[nodiscard]] int ordinal() const noexcept override { return 0; }
  [[nodiscard]] collectives::communicator& ranks() noexcept override { return *ranks_; }
  [[nodiscard]] optim::processor& work() noexcept override { return *work_; }
  [[nodiscard]] memory_resource& memory() noexcept override { return memory_; }
  [[nodiscard]] std::unique_ptr<stream> borrow(void* native) override {
    auto* const lent = native == nullptr ? &usual_ : static_cast<queued_stream*>(native);
    return std::make_unique<borrowed_stream>(*lent);
  }
  [[nodiscard]] bool reaches(const void* memory) const override { return memory != foreign; }
  void set_deadline(std::chrono::milliseconds deadline) noexcept override {
    ranks_->set_deadline(deadline);
  }

  const void* foreign = nullptr;  // what is not the device's

 private:
  queued_stream& usual_;
  queued_stream lane_;
  std::unique_ptr<collectives::communicator> ranks_;
  spoiling_memory memory_;
  std::unique_ptr<optim::processor> work_;
};

inline constexpr int longest_pause_us = 300;

// A run as `own` stream's trainer makes it.
[[nodiscard]] inline flat_run on_stream(flat_run run, queued_stream& own, bool named) {
  run.launch = [&own](std::function<void()> piece) { own.run(std::move(piece)); };
  run.finish = [&own] { own.record().wait(); };
  if (named) run.stream = own.native();
  run.adjust = [before = run.adjust](zero_config& config) {
    if (before) before(config);
    config.device = 0;
  };
  return run;
}

// `body` on every rank, whose ranks are on such a device; `run` is what it makes of it.
inline void run_on_device(int ranks, const flat_run& run,
                          const std::function<void(zero_ranks&, const flat_run&)>& body) {
  run_clients(ranks, [&](zero_ranks& own) {
    const auto seed = static_cast<std::uint64_t>(own.communicator->rank());
    queued_stream usual(seed + 31, longest_pause_us);
    queued_stream trainer(seed + 57, longest_pause_us);
    own.device = std::make_unique<queued_client_device>(*own.communicator, usual);
    // One rank's trainer uses the default stream, the others one that they name.
    const bool named = ranks == 1 || own.communicator->rank() > 0;
    try {
      body(own, on_stream(run, named ? trainer : usual, named));
    } catch (...) {
      own.device->ranks().abort("a test's rank has ended");
      own.device.reset();
      throw;
    }
    own.device.reset();
  });
}

[[nodiscard]] inline std::vector<flat_result> train_on_device(int ranks, const flat_run& run) {
  std::vector<flat_result> results(static_cast<std::size_t>(ranks));
  run_on_device(ranks, run, [&](zero_ranks& own, const flat_run& here) {
    const auto rank = static_cast<std::size_t>(own.communicator->rank());
    results[rank] = train_flat(own, here);
  });
  return results;
}

}  // namespace zero::testing
