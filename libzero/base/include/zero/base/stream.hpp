#pragma once
// stream: work in the order it was queued, on one lane of one device. On the host a stream does
// what it is told before the call returns; on a device the host goes on.
//
// One thread at a time may use a stream.

#include <zero/base/completion.hpp>

#pragma GCC visibility push(default)
namespace zero {

class stream {
 public:
  stream() = default;
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;
  virtual ~stream() = default;

  // Of everything queued so far. Must not outlive the stream. Allocates nothing.
  [[nodiscard]] virtual completion record() = 0;

  // Whatever is queued from now on runs after `before`. Blocks the caller only as far as the
  // source of `before` cannot be waited for by the device itself: on the host, until it is done.
  // Throws what `before` failed with, if that is known by then.
  virtual void wait(const completion& before) { before.order(*this); }

  // The handle of the device's own runtime (a cudaStream_t), for work that a client queues itself;
  // nullptr on the host.
  [[nodiscard]] virtual void* native() const noexcept { return nullptr; }
};

// Work of the calling thread itself.
class host_stream final : public stream {
 public:
  [[nodiscard]] completion record() override { return {}; }
};

}  // namespace zero
#pragma GCC visibility pop
