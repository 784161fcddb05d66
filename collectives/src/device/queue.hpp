#pragma once
// device_queue: what a rank's communication lane does on a device, in the order of one stream.
// event_ring: marks in that order which other streams, other ranks and the host can wait for.
//
// Nothing here names a kind of device: src/cuda has GPUs, tests have a device of threads.
//
// device_queue is used by the rank's lane, but for reaches() and make_events() which anyone may
// call. Of an event_ring, record is for the lane and the rest for anyone.

#include <zero/base/dtype.hpp>
#include <zero/base/memory_resource.hpp>
#include <zero/base/stream.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace zero::collectives {

// Does not depend on the stream it is recorded on, nor on the device_queue that made it: peers may
// still look at the marks of a rank that has gone.
class event_ring {
 public:
  event_ring() = default;
  event_ring(const event_ring&) = delete;
  event_ring& operator=(const event_ring&) = delete;
  virtual ~event_ring() = default;

  // Marks what is queued on `on` so far; what the slot marked before is forgotten.
  virtual void record(std::size_t slot, stream& on) = 0;
  // `later`, a stream of a device, goes on after what the slot marks. Does not block.
  virtual void order(std::size_t slot, stream& later) = 0;
  // Whether it is done. Throws what the device failed with.
  [[nodiscard]] virtual bool done(std::size_t slot) = 0;
};

class device_queue {
 public:
  device_queue() = default;
  device_queue(const device_queue&) = delete;
  device_queue& operator=(const device_queue&) = delete;
  virtual ~device_queue() = default;

  // The communication stream, on which everything below is queued.
  [[nodiscard]] virtual stream& lane() noexcept = 0;
  [[nodiscard]] virtual memory_resource& memory() noexcept = 0;

  // Whether kernels of the device can read and write these bytes in place.
  [[nodiscard]] virtual bool reaches(const void* first, std::uint64_t bytes) const noexcept = 0;

  [[nodiscard]] virtual std::unique_ptr<event_ring> make_events(std::size_t slots) = 0;

  // Between any two places. May block until it is done where one of them is pageable host memory.
  virtual void copy(void* to, const void* from, std::uint64_t bytes) = 0;

  // sum() of sum.hpp, of 1 to most_sources sources, all reached by the device.
  virtual void sum(const void* const* from, std::size_t sources, dtype in, void* out,
                   dtype out_type, std::size_t count, write_mode mode) = 0;
};

inline constexpr std::size_t most_sources = 64;

}  // namespace zero::collectives
