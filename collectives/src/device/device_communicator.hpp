#pragma once
// device_communicator: a communicator whose memory and work are a device's. Ranks agree on the host
// what to do, with the group of src/shared_memory (so errors, deadlines and their texts are the
// same); an executor then queues it on the device.
//
// Operation k goes: the caller queues it; the lane orders call.after before itself, posts it, waits
// until all ranks have posted it and agree, queues the rank's part, finishes. It is complete on the
// host when every rank's lane has queued its part, and done when the device has done it.
//
// Threads: the caller queues; the lane does the rest. Completions may be waited for and ordered by
// any thread; abort may be called by any thread.

#include "device/device_lane.hpp"
#include "device/executor.hpp"
#include "shared_memory/group.hpp"
#include "shared_memory/process_watch.hpp"

#include <zero/collectives/communicator.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>

namespace zero::collectives {

class device_communicator final : public communicator,
                                  private completion_source,
                                  private lane_work {
 public:
  // Rank `rank` of the group in `block` of the lane's arena; `backend` has static storage. Those
  // split from another (`around`) share its lane.
  device_communicator(std::shared_ptr<device_lane> lane, std::uint64_t block, int rank,
                      const device_communicator* around, const executor::maker& make,
                      std::shared_ptr<memory_resource> memory, const char* backend);
  ~device_communicator() override;

  [[nodiscard]] memory_resource& memory() noexcept override { return *memory_; }
  void set_deadline(std::chrono::milliseconds deadline) noexcept override;
  void progress() noexcept override { group_.note_progress(); }
  void abort(const std::string& reason) noexcept override;
  void set_trace(trace_recorder* recorder) noexcept override { trace_ = recorder; }
  [[nodiscard]] const char* backend() const noexcept override { return backend_; }

 private:
  struct record {
    completion after;
    const char* name = "";
    device_placement own;
    std::uint64_t place = 0;  // in the record
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
  void order(std::uint64_t ticket, stream& later) override;

  // The calling thread.
  completion queue(operation op, const_typed_span in, typed_span out, const call& how);
  void count_staged(const record& r, const_typed_span in, typed_span out) noexcept;
  void wait_until_queued(std::uint64_t ticket);
  void wait_for_device(std::uint64_t ticket);
  void poison_hung(std::uint64_t k, steady::duration waited);
  [[nodiscard]] bool device_done(std::uint64_t ticket) const;
  // Throws the first error, if there is one, once nothing uses the caller's memory any more.
  void check_usable() const;
  // In a catch block: keeps the exception for this rank's waits and poisons the group for peers.
  void fail() const noexcept;
  [[nodiscard]] steady::duration patience() const noexcept;

  // The lane.
  void carry_out(std::uint64_t k) noexcept override;
  void post_and_run(std::uint64_t k);
  [[nodiscard]] bool run(std::uint64_t k, const record& r);

  std::shared_ptr<device_lane> lane_;
  std::shared_ptr<memory_resource> memory_;
  mutable group group_;
  std::unique_ptr<process_watch> watch_;  // of the world's ranks
  std::unique_ptr<executor> executor_;
  const char* backend_;
  std::array<record, outstanding> records_;
  std::atomic<std::uint64_t> queued_{0};
  std::atomic<std::uint64_t> carried_out_{0};         // by this rank's lane, or given up
  mutable std::atomic<std::uint64_t> known_done_{0};  // operations seen done on the device
  std::atomic<std::int64_t> deadline_;                // milliseconds
  trace_recorder* trace_ = nullptr;
  mutable std::atomic<bool> failing_{false};
  mutable std::atomic<bool> failed_{false};  // own_error_ is there
  mutable std::exception_ptr own_error_;     // what this rank failed with, its full type kept
};

}  // namespace zero::collectives
