#pragma once
// tier_lane: one thread that moves bytes between tiers and the memory they are worked on in, while
// others compute. It alone touches the stores it is given.
//
// Moves are begun in the order in which they were queued, so a fetch that was queued after a spill
// of the same record brings what was spilled; many are under way at a time. Fetches complete in
// the order they were queued, and so do spills, but neither waits for the other. A spill is
// `spill`, `amend` or a copy down; a fetch is `fetch` or a copy up.
//
// One thread queues; completions may be waited for by any. After the first error every call and
// every wait throws it, once no memory is in use any more: io_error ETIMEDOUT where no move ended
// within a wait's deadline, and only then memory may still be in use. Calls throw invalid_argument,
// and nothing has changed, for what can never be: no such record, more bytes than it has, memory
// that is not aligned, bounces that do not fit. Nothing is allocated after construction unless an
// error is thrown.

#include <zero/base/completion.hpp>
#include <zero/base/copier.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/base/trace.hpp>
#include <zero/offload/tier_store.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::offload {

// Memory that is moved from or to.
struct move_end {
  void* memory = nullptr;
  // device: reached by the lane's copier alone, of any alignment. host: as stores take it, with
  // room for a whole stride.
  memory_place place = memory_place::host;
};

// Changes a record: called on the lane's thread with what was given to amend() and the record's
// bytes, which it changes. Must not throw.
using amendment = std::function<void(const void* from, std::byte* record, std::size_t bytes)>;

// Bytes since construction, and time, as far as the lane's thread saw it: the end of what others
// move is noticed when it looks next.
struct tier_traffic {
  std::uint64_t host_to_device = 0;
  std::uint64_t device_to_host = 0;
  std::uint64_t disk_read = 0;  // whole strides, of stores that cannot be worked on in place
  std::uint64_t disk_written = 0;
  // While at least one copy of the direction was under way, or one transfer of a store that cannot
  // be worked on in place, and while any move was.
  std::chrono::nanoseconds copying_up{0};
  std::chrono::nanoseconds copying_down{0};
  std::chrono::nanoseconds reading{0};
  std::chrono::nanoseconds writing{0};
  std::chrono::nanoseconds moving{0};
};

struct tier_lane_options {
  // Host memory for what is on its way between a record and a device: `bounces` blocks of
  // `bounce_bytes` each, back to back, aligned for every store. A record of a store that must be
  // read takes one where it meets a device or is amended; so does, besides, the source of an
  // amendment that comes from a device.
  std::byte* bounce_memory = nullptr;
  std::uint64_t bounce_bytes = 0;
  std::size_t bounces = 0;
  // Moves that may be outstanding; one more blocks until the first is done.
  std::size_t depth = 64;
  // Of a wait in which no move ends; what the stores themselves allow a transfer must be less.
  std::chrono::milliseconds deadline{180000};
};

class tier_lane {
 public:
  // `copies` moves to and from devices; it and the stores that are named later must outlive this.
  tier_lane(copier& copies, const tier_lane_options& options);
  tier_lane(const tier_lane&) = delete;
  tier_lane& operator=(const tier_lane&) = delete;
  // Waits for what was begun, for the bounded time that stores and copier take; what was not never
  // will be.
  ~tier_lane();

  // The first `bytes` of a record (all of it or less) come to `to`; to host memory a store that
  // must be read brings its whole stride. `tag` is for traces.
  completion fetch(tier_store& from, std::size_t record, move_end to, std::uint64_t bytes, int tag);
  // The record becomes what is at `from`. Of fewer bytes than it has: what follows them means
  // nothing.
  completion spill(move_end from, std::uint64_t bytes, tier_store& to, std::size_t record, int tag);
  // The record is changed by `change`, which must stay as it is until then, with `from_bytes` from
  // a device or the host.
  completion amend(move_end from, std::uint64_t from_bytes, const amendment& change, tier_store& to,
                   std::size_t record, int tag);
  // Between host memory and a device, without a record.
  completion copy(const void* from, void* to, std::uint64_t bytes, copy_way way, int tag);

  // Blocks until nothing is outstanding; throws the first error.
  void drain();

  // Exact once nothing is outstanding.
  [[nodiscard]] tier_traffic traffic() const noexcept;
  // Records moves as `fetch` on lane copy_in and `spill` on copy_out. nullptr stops. Only with
  // nothing outstanding.
  void set_trace(trace_recorder* recorder) noexcept;

 private:
  class [[gnu::visibility("hidden")]] worker;
  std::unique_ptr<worker> worker_;
};

}  // namespace zero::offload
#pragma GCC visibility pop
