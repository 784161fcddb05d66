#pragma once
// stream_store: where the inputs of blocks are. All of them on the device; or a few in turn, while
// the others rest in pinned host memory: each is copied out on one lane when its block has been
// forward, and copied back on another while the blocks after it go backward.
//
// One thread. Ready for any number of forwards, each followed by its backward or not. Knows nothing
// of CUDA: lanes are streams, and whoever makes the store says how bytes move.

#include <zero/base/memory_resource.hpp>
#include <zero/base/stream.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace zero::trainer::cuda {

// Between what the device reaches and host memory.
struct copy_lanes {
  std::unique_ptr<stream> out;
  std::unique_ptr<stream> in;
  memory_resource* host;  // that copies reach at full speed
  // Queues a copy on one of the lanes.
  std::function<void(void* to, const void* from, std::size_t bytes, stream& lane)> copy;
};

class stream_store {
 public:
  // `count` streams of `bytes` each in the places, of which there are as many, or fewer; with as
  // many `lanes` are not used and may be empty. `queue` computes. All must outlive this. Throws
  // out_of_memory.
  stream_store(stream& queue, copy_lanes lanes, std::vector<void*> places, int count,
               std::size_t bytes);
  ~stream_store();
  stream_store(const stream_store&) = delete;
  stream_store& operator=(const stream_store&) = delete;

  // Bytes of host memory.
  [[nodiscard]] std::size_t host_bytes() const noexcept;

  // Where stream `i` lies; `bytes` of it are in use from now on.
  void begin_forward(std::size_t bytes) noexcept { used_ = bytes; }
  // For work queued next that writes stream i: after what still moves from or to its place.
  [[nodiscard]] void* to_write(int i);
  // For work queued next that reads it.
  [[nodiscard]] void* to_read(int i);
  // The forward needs stream i no more; the backward will.
  void leave(int i);
  // The backward needs stream i no more.
  void drop(int i);

 private:
  [[nodiscard]] bool moves() const noexcept {
    return places_.size() < static_cast<std::size_t>(count_);
  }
  [[nodiscard]] std::size_t place_of(int i) const noexcept {
    return static_cast<std::size_t>(i) % places_.size();
  }
  [[nodiscard]] std::uint8_t* host_of(int i) const noexcept {
    return host_ + static_cast<std::size_t>(i) * bytes_;
  }
  // Streams whose place no later one takes over.
  [[nodiscard]] bool stays(int i) const noexcept {
    return i + static_cast<int>(places_.size()) >= count_;
  }

  stream& queue_;
  copy_lanes lanes_;
  std::vector<void*> places_;
  int count_;
  std::size_t bytes_;
  std::size_t used_ = 0;
  std::uint8_t* host_ = nullptr;
  std::vector<completion> moved_;  // of the last copy from or to each place
};

}  // namespace zero::trainer::cuda
