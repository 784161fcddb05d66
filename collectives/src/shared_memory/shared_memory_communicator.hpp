#pragma once
// shared_memory_communicator: queues one rank's operations and runs them on its communication
// lane, a thread of its own; a group of one rank needs none and runs them as they are queued.
//
// It is also the part inside a host of a communicator over several: what differs there is in the
// protected virtual functions, and everything of `group` is about the ranks of this host.
//
// Threads: the caller queues; the lane posts what had to wait, moves bytes and finishes. Records
// are written by the caller before `queued_` and read by the lane after it. Completions may be
// waited for by any thread; abort may be called by any thread.

#include "arena/segment.hpp"
#include "shared_memory/group.hpp"
#include "shared_memory/mover.hpp"
#include "shared_memory/process_watch.hpp"

#include <zero/collectives/communicator.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>

namespace zero::collectives {

[[nodiscard]] operation make_operation(operation_kind kind, dtype in, dtype out,
                                       std::uint64_t count, const call& how) noexcept;

class shared_memory_communicator : public communicator,
                                   protected completion_source,
                                   private release_observer {
 public:
  // Rank `rank` of the group in `block`. The communicator of the world owns the rank's segment;
  // those split from it (around != nullptr) share it.
  shared_memory_communicator(const std::shared_ptr<const arena>& pages, std::uint64_t block,
                             int rank, const shared_memory_communicator* around);
  ~shared_memory_communicator() override;
  shared_memory_communicator(const shared_memory_communicator&) = delete;
  shared_memory_communicator& operator=(const shared_memory_communicator&) = delete;

  [[nodiscard]] memory_resource& memory() noexcept override { return *segment_; }
  void set_deadline(std::chrono::milliseconds deadline) noexcept override;
  void progress() noexcept override { group_.note_progress(); }
  void abort(const std::string& reason) noexcept override;
  void set_trace(trace_recorder* recorder) noexcept override { trace_ = recorder; }
  [[nodiscard]] const char* backend() const noexcept override { return "shared_memory"; }

 protected:
  // Where a rank sits: in the communicator, and in the part of it that is on this host.
  struct seat {
    world who;
    std::shared_ptr<const arena> pages;
    std::uint64_t block;  // of the ranks of this host
    int local_rank;       // among them
    int world_rank;
    const shared_memory_communicator* around;
    agreement where;
  };
  // Does not start the lane: whoever derives from this calls open() at the end of its constructor
  // and end_lane() and leave() in its destructor. The memory belongs to the one without `around`.
  explicit shared_memory_communicator(const seat& s);
  void open();
  // Ends the lane; the group is poisoned if something of this rank's is outstanding.
  void end_lane() noexcept;
  // Nothing of the group may be touched afterwards. The second call does nothing.
  void leave() noexcept;

  [[nodiscard]] group& ranks_here() noexcept { return group_; }
  [[nodiscard]] const group& ranks_here() const noexcept { return group_; }
  [[nodiscard]] const std::shared_ptr<const arena>& pages() const noexcept { return pages_; }
  [[nodiscard]] int own_world_rank() const { return group_.world_rank(group_.rank()); }
  [[nodiscard]] bool alone() const noexcept { return size() == 1; }
  [[nodiscard]] steady::duration patience() const noexcept;

  completion queue(operation op, const_typed_span in, typed_span out, const call& how);
  // Throws unless everything this rank queued is done.
  void check_nothing_outstanding() const;
  // Throws the first error, if there is one, once the lane has let go of the caller's memory.
  void check_usable() const;

  // In a catch block: keeps the exception for this rank's waits and poisons the group for peers.
  void fail() noexcept;

  // On the lane: this rank's part of an operation whose gate is open. False if the group was
  // poisoned meanwhile.
  virtual bool move(std::uint64_t k, const placement& own);
  // On the lane while it waits: what else is to be done, without blocking. True to be called again
  // soon; otherwise the lane sleeps until rung and until then wants_attention() is false.
  virtual bool attend() { return false; }
  [[nodiscard]] virtual bool wants_attention() const noexcept { return false; }
  // Whether and why operation k can never complete because ranks left; what to do when it is late.
  [[nodiscard]] virtual bool forsaken(std::uint64_t k) const noexcept { return group_.forsaken(k); }
  virtual void poison_forsaken(std::uint64_t k) { group_.poison_forsaken(k); }
  // False if it is not, since those who are waited for go on.
  virtual bool poison_late(std::uint64_t k, steady::duration waited) {
    return group_.poison_late(k, waited);
  }

 private:
  struct record {
    completion after;
    const char* name = "";
    placement own;
    std::uint64_t in_bytes = 0;
    std::uint64_t out_bytes = 0;
    bool posted = false;      // by the caller; otherwise the lane does
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
  // release_observer
  void before_release(const std::byte* block, std::uint64_t bytes) noexcept override;

  // The calling thread.
  void place(record& r, const_typed_span in, typed_span out) const noexcept;
  void wait_for_work_before(const call& how);

  // The lane.
  void start_lane();
  void lane() noexcept;
  [[nodiscard]] bool post_late(std::uint64_t k, const record& r) noexcept;
  [[nodiscard]] bool run(std::uint64_t k, const record& r);
  template <typename Done>
  void rest_until(Done done);

  std::shared_ptr<const arena> pages_;
  std::unique_ptr<segment> own_segment_;
  segment* segment_;
  group group_;
  bool is_world_;
  mover mover_;
  std::unique_ptr<process_watch> watch_;  // of the world's ranks
  std::array<record, ring_size> records_;
  std::atomic<std::uint64_t> queued_{0};
  // Operations this rank has posted to the end, comparison included. Lane and caller take turns by
  // it, so no operation is posted before the one in front of it was compared.
  std::atomic<std::uint64_t> posted_{0};
  std::atomic<std::int64_t> deadline_;  // milliseconds
  std::atomic<bool> stop_{false};
  bool left_ = false;
  std::atomic<bool> moving_{false};  // the lane uses the memory of an operation
  trace_recorder* trace_ = nullptr;
  std::atomic<bool> failing_{false};
  std::atomic<bool> failed_{false};  // own_error_ is there
  std::exception_ptr own_error_;     // what this rank's lane failed with, its full type kept
  std::thread lane_;
};

}  // namespace zero::collectives
