#pragma once
// link: the few ways in which the ranks of one group move bytes between their devices, queued on
// the rank's communication stream. NCCL is one; tests have one of threads.
//
// Used by the rank's lane, but for check, abort and split. Every rank calls the same, in one order.

#include <cstdint>
#include <functional>
#include <memory>

namespace zero::collectives {

class link {
 public:
  link() = default;
  link(const link&) = delete;
  link& operator=(const link&) = delete;
  virtual ~link() = default;

  // Asked while a call is under way: false ends it with an error.
  virtual void watch(std::function<bool()> going_on) = 0;

  // Sends and receives between begin and end go at the same time.
  virtual void begin() = 0;
  virtual void send(const void* from, std::uint64_t bytes, int peer) = 0;
  virtual void receive(void* to, std::uint64_t bytes, int peer) = 0;
  virtual void end() = 0;

  // out[i * bytes, (i + 1) * bytes) = rank i's. In place where `in` is there already.
  virtual void all_gather(const void* in, void* out, std::uint64_t bytes) = 0;
  virtual void broadcast(void* bytes_of_root, std::uint64_t bytes, int root) = 0;

  // Throws what has failed in the background, if anything has.
  virtual void check() = 0;
  // Work under way ends, wherever it is; nothing but check and the destructor is called any more.
  virtual void abort() noexcept = 0;

  // Collective: ranks of one color, in the order of `position`. Nothing is outstanding.
  [[nodiscard]] virtual std::unique_ptr<link> split(int color, int position) = 0;
};

}  // namespace zero::collectives
