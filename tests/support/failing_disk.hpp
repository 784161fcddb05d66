#pragma once
// A disk engine made to fail on purpose: hands requests to another and spoils those it was told to.
// And a script for several owners of such engines, as the ranks of a job are: "the third write of
// owner 1 never comes back", "from the fifth read of owner 0 on bits are flipped".

#include <zero/offload/disk_engine.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {

enum class disk_fault : unsigned char {
  none,
  eio,
  enospc,
  eintr,
  eagain,
  refused,         // submit itself says ENOMEM
  half,            // half is moved, and said so
  odd,             // one byte is moved, and said so
  zero,            // nothing is moved, and said so
  too_much,        // more is said to have been moved than was asked
  nothing,         // nothing is moved; success
  torn,            // half is moved; success
  flipped_bit,     // one bit differs; success
  old_generation,  // read: what was there before the last write. write: as `nothing`
  neighbour,       // the bytes come from, or go to, the place after this one; success
  silence,         // never answered
};

// Which requests are spoiled: those of one direction (or both) with these numbers, counted from 0.
struct fault_plan {
  disk_fault what = disk_fault::none;
  std::uint64_t first = 0;
  std::uint64_t count = std::numeric_limits<std::uint64_t>::max();
  bool reads = true;
  bool writes = true;
};

// What engines were asked. May be read by any thread, and outlives them.
struct fault_tally {
  std::atomic<std::uint64_t> reads{0};
  std::atomic<std::uint64_t> writes{0};
  std::atomic<std::uint64_t> counted{0};  // of the plan's direction: what its numbers mean
  std::atomic<std::uint64_t> spoiled{0};
};

class failing_disk final : public offload::disk_engine {
 public:
  // Engines with one tally count on where another stopped.
  failing_disk(std::unique_ptr<offload::disk_engine> inner, const fault_plan& plan,
               std::shared_ptr<fault_tally> tally = std::make_shared<fault_tally>())
      : inner_(std::move(inner)), plan_(plan), tally_(std::move(tally)) {}

  // Requests of the plan's direction so far.
  [[nodiscard]] std::uint64_t requests() const noexcept { return tally_->counted; }
  [[nodiscard]] std::uint64_t spoiled() const noexcept { return tally_->spoiled; }
  // Requests accepted and not yet reaped, but for those that never will be.
  [[nodiscard]] std::size_t outstanding() const noexcept { return outstanding_; }
  // From now on.
  void change(const fault_plan& plan) {
    plan_ = plan;
    tally_->counted = 0;
  }

  [[nodiscard]] const char* name() const noexcept override { return "failing"; }
  [[nodiscard]] std::size_t depth() const noexcept override { return inner_->depth(); }
  [[nodiscard]] int submit(const offload::disk_request& request) override;
  [[nodiscard]] std::size_t reap(span<offload::disk_result> results,
                                 clock::time_point until) override;
  bool register_file(int file) override { return inner_->register_file(file); }
  void unregister_file(int file) noexcept override { inner_->unregister_file(file); }
  bool register_memory(void* memory, std::size_t bytes) override {
    return inner_->register_memory(memory, bytes);
  }
  void unregister_memory(void* memory) noexcept override { inner_->unregister_memory(memory); }
  [[nodiscard]] const std::string& note() const noexcept override { return inner_->note(); }

 private:
  int spoil(const offload::disk_request& request);
  void move(const offload::disk_request& request, std::uint64_t offset, std::uint64_t bytes);
  void remember(const offload::disk_request& request);

  std::unique_ptr<offload::disk_engine> inner_;
  fault_plan plan_;
  std::shared_ptr<fault_tally> tally_;
  std::size_t outstanding_ = 0;
  std::vector<offload::disk_result> answers_;  // of requests that inner_ never saw
  // By offset: what lay there, and what lay there before that.
  std::map<std::uint64_t, std::vector<char>> current_;
  std::map<std::uint64_t, std::vector<char>> old_;
};

// In this process, `where` the plan can be changed and asked while a store owns the engine.
struct failing_pair {
  std::unique_ptr<offload::disk_engine> engine;
  failing_disk* where;
};
[[nodiscard]] inline failing_pair make_failing_disk(std::unique_ptr<offload::disk_engine> inner,
                                                    const fault_plan& plan) {
  auto made = std::make_unique<failing_disk>(std::move(inner), plan);
  failing_disk* const where = made.get();
  return {std::move(made), where};
}

// Whose engines fail how; everybody else's work. One script for one run.
class fault_script {
 public:
  // `plan` counts over all engines of the owner, in the order in which it asks them.
  struct line {
    int owner = 0;
    fault_plan plan;
  };
  fault_script(int owners, std::vector<line> lines);

  // For whoever makes engines on behalf of an owner, whenever it does; the script may be gone.
  [[nodiscard]] std::function<std::unique_ptr<offload::disk_engine>()> engines_of(int owner) const;
  [[nodiscard]] const fault_tally& tally(int owner) const {
    return *tallies_.at(static_cast<std::size_t>(owner));
  }

 private:
  std::vector<line> lines_;
  std::vector<std::shared_ptr<fault_tally>> tallies_;
};

}  // namespace zero::testing
