#pragma once
// shared_memory_communicator: queues one rank's operations and runs them on its communication
// lane, a thread of its own; a group of one rank needs none and runs them as they are queued.
//
// Threads: the caller queues; the lane posts what had to wait, moves bytes and finishes. Records
// are written by the caller before `queued_` and read by the lane after it. Completions may be
// waited for by any thread; abort may be called by any thread.

#include "arena/segment.hpp"
#include "shared_memory/group.hpp"
#include "shared_memory/mover.hpp"

#include <zero/collectives/communicator.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>

namespace zero::collectives {

class shared_memory_communicator final : public communicator,
                                         private completion_source,
                                         private release_observer {
 public:
  // Rank `rank` of the group in `block`. The communicator of the world owns the rank's segment;
  // those split from it (around != nullptr) share it.
  shared_memory_communicator(std::shared_ptr<const arena> pages, std::uint64_t block, int rank,
                             const shared_memory_communicator* around);
  ~shared_memory_communicator() override;

  [[nodiscard]] memory_resource& memory() noexcept override { return *segment_; }
  void set_deadline(std::chrono::milliseconds deadline) noexcept override;
  void abort(const std::string& reason) noexcept override;
  void set_trace(trace_recorder* recorder) noexcept override { trace_ = recorder; }
  [[nodiscard]] const char* backend() const noexcept override { return "shared_memory"; }

 private:
  struct record {
    completion after;
    const char* name = "";
    placement own;
    std::uint64_t in_bytes = 0;
    std::uint64_t out_bytes = 0;
    bool posted = false;  // by the caller; otherwise the lane does
    operation op{};
  };

  completion do_all_gather(const_typed_span shard, typed_span full, const call& how) override;
  completion do_reduce_scatter(const_typed_span full, typed_span shard, write_mode mode,
                               const call& how) override;
  completion do_all_to_all(const_typed_span in, typed_span out, const call& how) override;
  completion do_all_reduce(typed_span data, const call& how) override;
  completion do_broadcast(typed_span data, int root, const call& how) override;
  completion do_barrier(const call& how) override;
  std::unique_ptr<communicator> do_split(int color, int key) override;

  // completion_source
  void wait(std::uint64_t ticket) override;
  [[nodiscard]] bool ready(std::uint64_t ticket) const noexcept override;
  // release_observer
  void before_release(const std::byte* block, std::uint64_t bytes) noexcept override;

  // The calling thread.
  completion queue(operation op, const_typed_span in, typed_span out, const call& how);
  void place(record& r, const_typed_span in, typed_span out) const noexcept;
  void wait_for_work_before(const call& how);
  // Throws the first error, if there is one, once the lane has let go of the caller's memory.
  void check_usable() const;
  // In a catch block: keeps the exception for this rank's waits and poisons the group for peers.
  void fail() noexcept;

  // The lane.
  void start_lane();
  void lane() noexcept;
  [[nodiscard]] bool post_late(std::uint64_t k, const record& r) noexcept;
  [[nodiscard]] bool run(std::uint64_t k, const record& r);
  [[nodiscard]] steady::duration patience() const noexcept;

  std::shared_ptr<const arena> pages_;
  std::unique_ptr<segment> own_segment_;
  segment* segment_;
  group group_;
  mover mover_;
  std::array<record, ring_size> records_;
  std::atomic<std::uint64_t> queued_{0};
  // Operations this rank has posted to the end, comparison included. Lane and caller take turns by
  // it, so no operation is posted before the one in front of it was compared.
  std::atomic<std::uint64_t> posted_{0};
  std::atomic<std::int64_t> deadline_;  // milliseconds
  std::atomic<bool> stop_{false};
  std::atomic<bool> moving_{false};  // the lane uses the memory of an operation
  trace_recorder* trace_ = nullptr;
  std::atomic<bool> failing_{false};
  std::atomic<bool> failed_{false};  // own_error_ is there
  std::exception_ptr own_error_;     // what this rank's lane failed with, its full type kept
  std::thread lane_;
};

}  // namespace zero::collectives
