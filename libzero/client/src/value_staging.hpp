#pragma once
// value_staging: shows the host what lies where a rank works, and lets ranks exchange what lies on
// the host, a bounded piece at a time. On the host nothing is copied.
//
// One thread at a time. Every call blocks until it is done.

#include <zero/base/memory_resource.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/optim/processor.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace zero::client {

class value_staging {
 public:
  // Bytes at once, on each side of a device.
  static constexpr std::size_t piece_bytes = std::size_t{2} << 20;

  // `memory` is where `work` works; both must outlive this. Throws out_of_memory.
  value_staging(optim::processor& work, memory_resource& memory);
  value_staging(const value_staging&) = delete;
  value_staging& operator=(const value_staging&) = delete;
  ~value_staging();

  // Calls `see` with runs of `there`, which lie in the processor's memory, in order; `offset` is
  // that of the first element.
  using look = std::function<void(std::uint64_t offset, const const_typed_span& part)>;
  void read(const const_typed_span& there, const look& see);

  // all[r * bytes, ...) = what rank r has in `own`, all of it on the host. Collective. `own` may be
  // this rank's piece of `all`.
  void all_gather(collectives::communicator& ranks, const void* own, void* all, std::size_t bytes,
                  const char* name);

 private:
  void all_gather_piece(collectives::communicator& ranks, const std::byte* own, std::size_t bytes,
                        const char* name);

  optim::processor& work_;
  memory_resource& memory_;
  void* here_ = nullptr;   // on the host
  void* there_ = nullptr;  // on the device
};

}  // namespace zero::client
