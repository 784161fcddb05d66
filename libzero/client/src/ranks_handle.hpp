#pragma once
// What a zero_ranks is: a communicator and what must live as long as it. One thread at a time.

#include "client_device.hpp"

#include <zero/collectives/communicator.hpp>
#include <zero/ranks.h>

#include <memory>

// Members are destroyed in reverse.
struct zero_ranks {
  std::shared_ptr<void> keeps;  // outlives the communicator: a world, a transport
  std::shared_ptr<zero::client::device_meeting> threads;  // null: they are not of one process
  // By which ranks met, on the host; null where they met on a device.
  std::unique_ptr<zero::collectives::communicator> communicator;
  std::unique_ptr<zero::client::client_device> device;  // null: clients have memory of the host
  int local_rank = 0;
  bool in_use = false;  // by an optimizer

  // By which clients' memory is moved.
  [[nodiscard]] zero::collectives::communicator& reach() const noexcept {
    return device ? device->ranks() : *communicator;
  }
};
