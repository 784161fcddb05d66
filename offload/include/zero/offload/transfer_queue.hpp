#pragma once
// transfer_queue: transfers over a disk_engine that are either done in full or have failed.
//
// Every result is checked. A short transfer goes on from the last whole block; EINTR and EAGAIN are
// tried again, the first time at once and then after pauses that double up to 10 ms; nothing moved,
// more moved than asked, and any other errno end the transfer. So does its deadline.
//
// One thread at a time. Nothing is allocated after construction.

#include <zero/base/span.hpp>
#include <zero/offload/disk_engine.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

struct transfer_outcome {
  std::uint64_t tag = 0;
  // 0: every byte was moved. ENODATA: the system moved nothing, and said so. EPROTO: it says to
  // have moved more than was asked. ETIMEDOUT: the deadline passed; the system may still use the
  // memory.
  int error_number = 0;
  std::uint64_t offset = 0;  // in the file, of the first byte that was not moved
};

class transfer_queue {
 public:
  using clock = disk_engine::clock;

  // alignment: of offsets, memory and bytes, as the files of the requests ask; > 0. deadline: of
  // one transfer, from start on.
  transfer_queue(std::unique_ptr<disk_engine> engine, std::size_t alignment,
                 std::chrono::nanoseconds deadline);

  // Transfers that may be under way, started and not yet taken by finish.
  [[nodiscard]] std::size_t depth() const noexcept { return slots_.size(); }
  [[nodiscard]] std::size_t under_way() const noexcept { return under_way_; }

  // Starts one. Does not wait for the disk. 0 bytes are done. Throws invalid_argument if `depth`
  // are under way.
  void start(const disk_request& request);

  // Takes what has ended, at most outcomes.size(), in any order. With wait_for::one it blocks
  // until there is one, which the deadlines bound; with nothing under way it returns 0. Throws
  // io_error if the engine fails.
  enum class wait_for : unsigned char { none, one };
  [[nodiscard]] std::size_t finish(span<transfer_outcome> outcomes, wait_for how);

  // Waits for what the engine still has of transfers that timed out, one deadline at most. True if
  // it has nothing any more, so that no memory is in use but that of transfers under way.
  bool drain();

  [[nodiscard]] disk_engine& engine() noexcept { return *engine_; }

 private:
  // lost: taken as timed out, and never answered by the engine since.
  enum class phase : unsigned char { free, in_engine, paused, ended, lost };
  struct slot {
    disk_request rest;  // what has not been moved yet
    clock::time_point deadline;
    clock::time_point resume;  // of a paused one
    transfer_outcome outcome;
    int attempts = 0;  // in a row without progress
    phase now = phase::free;
    bool held = false;  // the engine has it
  };

  void submit(std::size_t at);
  void pause(slot& s);
  void end(slot& s, int error_number);
  void settle(const disk_result& result);
  void advance(slot& s, std::size_t at, std::uint64_t moved);
  clock::time_point look_around(clock::time_point now);
  void work_engine(clock::time_point until);

  std::unique_ptr<disk_engine> engine_;
  std::size_t alignment_;
  std::chrono::nanoseconds deadline_;
  std::vector<slot> slots_;
  std::vector<disk_result> results_;
  std::size_t under_way_ = 0;
  std::size_t in_engine_ = 0;
  std::size_t ended_ = 0;
};

}  // namespace zero::offload
#pragma GCC visibility pop
