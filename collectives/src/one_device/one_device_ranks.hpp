#pragma once
// one_device_ranks: what the ranks of one world on one device share, whatever the device is.
//
// Thread-safe.

#include "device/queue.hpp"
#include "one_device/peer_table.hpp"
#include "shared_memory/arena.hpp"

#include <zero/collectives/communicator.hpp>

#include <memory>

namespace zero::collectives {

class one_device_ranks {
 public:
  // Throws invalid_argument unless 1 <= size <= most_sources; out_of_memory.
  explicit one_device_ranks(int size);

  [[nodiscard]] int size() const noexcept { return pages_->size(); }

  // Each rank once, with its own queue of the one device. What the queue is made of must outlive
  // the communicator. Does not block.
  [[nodiscard]] std::unique_ptr<communicator> join(int rank, std::unique_ptr<device_queue> queue);

 private:
  std::shared_ptr<const arena> pages_;
  std::shared_ptr<peer_tables> tables_;
};

}  // namespace zero::collectives
