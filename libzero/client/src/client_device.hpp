#pragma once
// client_device: what a rank works with whose client has its memory on a GPU: a processor, a
// communicator of its memory, and the streams of the client's. And how ranks that have met on the
// host come to have one each.
//
// One thread at a time, as the handle it belongs to; device_meeting is thread-safe.

#include <zero/base/memory_resource.hpp>
#include <zero/base/span.hpp>
#include <zero/base/stream.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/collectives/device_ranks.hpp>
#include <zero/optim/processor.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>

namespace zero::client {

class client_device {
 public:
  client_device() = default;
  client_device(const client_device&) = delete;
  client_device& operator=(const client_device&) = delete;
  virtual ~client_device() = default;

  [[nodiscard]] virtual int ordinal() const noexcept = 0;
  [[nodiscard]] virtual collectives::communicator& ranks() noexcept = 0;
  [[nodiscard]] virtual optim::processor& work() noexcept = 0;
  // For blocks of this rank's alone, whose mappings() ranges are made of.
  [[nodiscard]] virtual memory_resource& memory() noexcept = 0;
  // A stream that the client made, or the device's default one for null. It must outlive what is
  // returned.
  [[nodiscard]] virtual std::unique_ptr<stream> borrow(void* native) = 0;
  // Whether work() can use what lies there.
  [[nodiscard]] virtual bool reaches(const void* memory) const = 0;
  virtual void set_deadline(std::chrono::milliseconds deadline) noexcept = 0;
};

// Where ranks that are threads of one process come to share a GPU.
class device_meeting {
 public:
  // The first to come makes the world. Throws as one_device_world::create does.
  [[nodiscard]] collectives::one_device_world& world(int size, int ordinal);

 private:
  std::mutex mutex_;
  std::optional<collectives::one_device_world> world_;
};

// What each rank says of the GPU it is to use.
struct device_offer {
  int ordinal = -1;
  int usable = 0;  // it is there
};

enum class device_sharing : unsigned char {
  one_for_all,   // one GPU, of which every rank has a part
  one_for_each,  // over NCCL
};

// `threads`: all ranks are of one process. Throws invalid_argument where ranks cannot work like
// this: without the GPU, or with NCCL missing where it is needed.
[[nodiscard]] device_sharing sharing_of(span<const device_offer> offers, bool threads,
                                        bool nccl_compiled);

// GPU `ordinal` for the rank of `peers`; `meeting` is null where ranks are no threads of one
// process. Collective; blocks. `peers` and `meeting` must outlive it. Throws invalid_argument on
// all ranks where one of them has no such GPU.
[[nodiscard]] std::unique_ptr<client_device> join_device(collectives::communicator& peers,
                                                         device_meeting* meeting, int ordinal);

// Around what a client's own communicator was made into.
[[nodiscard]] std::unique_ptr<client_device> device_of(collectives::device_rank joined);

}  // namespace zero::client
