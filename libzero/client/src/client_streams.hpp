#pragma once
// client_streams: puts what a client queues on streams of its own, and what the library queues on
// the stream of its processor, into one order, without the host waiting.
//
// One thread at a time. On the host there is nothing to order.

#include "client_device.hpp"

#include <map>
#include <memory>

namespace zero::client {

class client_streams {
 public:
  // `device` may be null: the host. It must outlive this.
  explicit client_streams(client_device* device) : device_(device) {}

  // The stream of calls that name none; null: the device's default one.
  void use(void* native) noexcept { usual_ = native; }
  [[nodiscard]] void* usual() const noexcept { return usual_; }
  // What the library queues from now on comes after what the client has queued.
  void arrive(void* native);
  // What the client queues from now on comes after what the library has queued.
  void depart(void* native);

 private:
  [[nodiscard]] stream& of(void* native);

  client_device* device_;
  void* usual_ = nullptr;
  std::map<void*, std::unique_ptr<stream>> borrowed_;
};

}  // namespace zero::client
