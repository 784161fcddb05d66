#pragma once
// executor: how a backend moves the bytes of operations that a device_communicator has queued and
// all ranks agreed on. One per rank and group.
//
// The lane calls prepare, run and conclude, for one operation after another; anyone the rest.

#include "shared_memory/group.hpp"

#include <zero/base/stream.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace zero::collectives {

inline constexpr std::uint64_t outstanding = 64;  // operations of a group at most

// The rank's own memory for one operation, and whether the device reaches it in place.
struct device_placement {
  std::byte* in = nullptr;
  std::byte* out = nullptr;
  bool in_reached = true;
  bool out_reached = true;
};

class executor {
 public:
  executor() = default;
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;
  virtual ~executor() = default;

  // Makes the executor of a group split from this one's.
  using maker = std::function<std::unique_ptr<executor>(group& ranks, std::uint64_t block)>;

  // What peers must know of this rank's memory: operation::source.
  [[nodiscard]] virtual std::uint64_t source_of(const device_placement& own) const noexcept = 0;

  // Operation k is about to be posted; what it had to wait for is ordered before the lane.
  virtual void prepare(std::uint64_t k) = 0;
  // Queues this rank's part; all ranks posted, nothing blocks for the device but copies of pageable
  // memory. False if the group was poisoned meanwhile.
  [[nodiscard]] virtual bool run(std::uint64_t k, const device_placement& own,
                                 steady::duration patience) = 0;
  // Marks the end of operation k on the lane, whether or not run went well.
  virtual void conclude(std::uint64_t k) = 0;

  // For operations that all ranks have queued: when all that used this rank's memory is over.
  virtual void order(std::uint64_t k, stream& later) = 0;
  [[nodiscard]] virtual bool done(std::uint64_t k) = 0;

  // Whether this rank's lane may be queueing work of the group just now.
  [[nodiscard]] virtual std::atomic<bool>& moving() noexcept = 0;
  // Of a group that is poisoned, or that nobody queues anything on any more: blocks until nothing
  // that any rank queued uses this rank's memory, at most for `patience`.
  virtual void quiet(bool poisoned, steady::duration patience) noexcept = 0;

  // Collective, with nothing outstanding. Ranks of one color, counted from 0, form a group, in the
  // order of `position`.
  [[nodiscard]] virtual maker split(int color, int position) = 0;
};

}  // namespace zero::collectives
