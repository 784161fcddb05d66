#pragma once
// communicator: moves equal pieces of memory between the ranks of one group.
//
// Operations are queued and return a completion; they run in the order queued, and every rank of
// the group must queue the same operations in the same order. What each rank is about to do is
// compared before any byte is used: ranks that differ get desync on all of them.
// Sums have one order, by rank of the world from 0, in fp32 whatever the dtype, rounded once at the
// end; the same inputs give the same bits on every run, every rank and every backend. A group split
// from the world keeps that order whatever its own numbering.
//
// One thread at a time may use a communicator; completions may be waited for and abort called by
// any. After an error it is poisoned: every later call and every wait throws that first error
// again, once this rank's memory is not in use any more. Ranks in errors are ranks of the world,
// whatever the group. Destroying a communicator with operations outstanding poisons its group.

#include <zero/base/completion.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/base/rank.hpp>
#include <zero/base/trace.hpp>
#include <zero/base/typed_span.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#pragma GCC visibility push(default)
namespace zero::collectives {

enum class write_mode : unsigned char {
  overwrite,   // out = sum
  accumulate,  // out = out + sum, added in fp32 and rounded once to out's dtype
};

// How one operation is queued.
struct call {
  // Work that must be done before memory may be touched; waited for on the communication lane.
  completion after = {};
  // Names the operation in traces and errors; static storage. Not compared between ranks.
  const char* name = "";
  // Which of the caller's things is moved (a bucket, a unit); compared between ranks.
  int tag = -1;
  // Which step of the caller's it is part of; compared between ranks. -1: of none.
  std::int64_t step = -1;
};

// Bytes of one rank's calls since construction, as nccl-tests counts them: all_gather,
// reduce_scatter and all_to_all count the full buffer, all_reduce and broadcast their buffer.
struct traffic {
  std::uint64_t all_gather = 0;
  std::uint64_t reduce_scatter = 0;
  std::uint64_t all_reduce = 0;
  std::uint64_t broadcast = 0;
  std::uint64_t all_to_all = 0;
  std::uint64_t calls = 0;    // operations queued, barriers included
  std::uint64_t staged = 0;   // bytes that went through a staging copy, being foreign to memory()
  std::uint64_t crossed = 0;  // of the bytes moved, those this rank sent to another host
};

enum class operation_kind : unsigned char;
class [[gnu::visibility("hidden")]] operation_log;

class communicator {
 public:
  communicator(const communicator&) = delete;
  communicator& operator=(const communicator&) = delete;
  virtual ~communicator();

  [[nodiscard]] int rank() const noexcept { return world_.rank; }
  [[nodiscard]] int size() const noexcept { return world_.size; }

  // full[i * n, (i + 1) * n) = rank i's shard, n = shard.count, on every rank. Same dtype, any.
  // In place when shard is full's own piece. Throws invalid_argument unless full.count = size * n.
  completion all_gather(const_typed_span shard, typed_span full, const call& how = {});

  // shard (of rank r) = sum over ranks i of full_i[r * n, (r + 1) * n). full is fp32, bf16 or
  // fp16; shard has full's dtype or fp32. In place when shard is full's own piece and both have
  // one dtype. `full` is left as it was but for an in-place shard.
  completion reduce_scatter(const_typed_span full, typed_span shard,
                            write_mode mode = write_mode::overwrite, const call& how = {});

  // out[i * n, (i + 1) * n) on rank r = in[r * n, (r + 1) * n) of rank i, n = in.count / size. Same
  // dtype, any; in and out do not overlap. Throws invalid_argument unless both counts are equal and
  // a multiple of size.
  completion all_to_all(const_typed_span in, typed_span out, const call& how = {});

  // data = sum over ranks of data, on every rank. Any count. fp32, bf16 or fp16.
  completion all_reduce(typed_span data, const call& how = {});

  // data = root's data, on every rank. Any dtype, any count.
  completion broadcast(typed_span data, int root, const call& how = {});

  // Done when every rank has called it, and so everything queued before it anywhere is done.
  completion barrier(const call& how = {});

  // A communicator over the ranks of this group that gave the same color, ordered by (key, rank).
  // Blocks; every rank of the group must call it, with nothing of its own outstanding. The new
  // communicator must not outlive this one.
  [[nodiscard]] std::unique_ptr<communicator> split(int color, int key);

  // Memory this backend reaches without a copy. Operations on other memory go through bounded
  // staging and are counted in traffic().staged. Lives as long as the communicator.
  [[nodiscard]] virtual memory_resource& memory() noexcept = 0;

  // How long a wait may go on while a rank it waits for does not move, before it throws peer_lost
  // naming that rank. A rank moves when it queues or finishes an operation of any group, while
  // bytes of a long one go on, and by progress(). Default 30 s. Takes effect for waits that begin
  // later.
  virtual void set_deadline(std::chrono::milliseconds deadline) noexcept = 0;

  // This rank is at work on something of its own that takes long: it moves, as far as deadlines go.
  // Costs a look at the clock. Any thread.
  virtual void progress() noexcept {}

  // Poisons the group: every rank's present and later waits throw, naming this rank and `reason`.
  virtual void abort(const std::string& reason) noexcept = 0;

  // Records what runs on the communication lane. nullptr stops. Only with nothing outstanding.
  virtual void set_trace(trace_recorder* recorder) noexcept = 0;

  // Which host a rank of this group runs on; hosts are numbered from 0 in order of their first
  // rank of the world.
  [[nodiscard]] virtual int host_of(int rank) const noexcept {
    static_cast<void>(rank);
    return 0;
  }

  // "shared_memory", "single", ...
  [[nodiscard]] virtual const char* backend() const noexcept = 0;

  [[nodiscard]] virtual const collectives::traffic& traffic() const noexcept { return traffic_; }

  // ---- what this rank did last ----
  // The last 4,096 operations this rank queued, in its world and all groups split from it: JSON of
  // schema "zero.operations/1", described in the README. Any thread, also while ranks work.
  [[nodiscard]] std::string operations() const;
  // The same into a file, which is made or replaced. Throws io_error.
  void write_operations(const std::string& file) const;
  // Where a rank leaves them by itself when it fails: FOLDER/failure-rank-N.json, N its rank in the
  // world. Empty, as at first: nowhere. For the world and all groups split from it.
  void set_failure_folder(const std::string& folder);
  // Leaves them there, with the reason, if there is a folder and nothing was left before. Done
  // for every error that an operation or a wait throws; for others it is the client's to call.
  void record_failure(const std::string& why) const noexcept;
  // Whether operations are recorded from now on, as they are at first. Of the world and all groups
  // split from it; with nothing outstanding.
  void keep_operations(bool whether);

 protected:
  explicit communicator(world w);

  // A backend that does an operation later, in a lane of its own, takes note of its place in
  // the record while it is queued, and says when it began and ended. What nobody took is over when
  // the call that queues it returns.
  [[nodiscard]] std::uint64_t take_place() noexcept;
  void note_begin(std::uint64_t place) const noexcept;
  void note_end(std::uint64_t place) const noexcept;
  // Of the exception that is being thrown: in a catch block.
  void record_caught() const noexcept;

 private:
  // The same operations with checked arguments; counts may be 0.
  virtual completion do_all_gather(const_typed_span shard, typed_span full, const call& how) = 0;
  virtual completion do_reduce_scatter(const_typed_span full, typed_span shard, write_mode mode,
                                       const call& how) = 0;
  virtual completion do_all_reduce(typed_span data, const call& how) = 0;
  virtual completion do_all_to_all(const_typed_span in, typed_span out, const call& how) = 0;
  virtual completion do_broadcast(typed_span data, int root, const call& how) = 0;
  virtual completion do_barrier(const call& how) = 0;
  virtual std::unique_ptr<communicator> do_split(int color, int key) = 0;

 protected:
  // Backends add the bytes they had to stage; the rest is counted by the public functions.
  collectives::traffic traffic_;

 private:
  struct [[gnu::visibility("hidden")]] described;
  template <typename Do>
  completion record(const described& what, Do go);

  world world_;
  std::shared_ptr<operation_log> log_;  // of the world, shared by its groups
  std::uint32_t group_in_log_ = 0;
  std::uint64_t splits_ = 0;
  std::uint64_t sequence_ = 0;  // operations of this group that were queued
  std::uint64_t place_ = 0;     // of the operation that is being queued
  bool is_taken_ = false;
};

}  // namespace zero::collectives
#pragma GCC visibility pop
