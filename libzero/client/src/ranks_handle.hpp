#pragma once
// What a zero_ranks is: a communicator and what must live as long as it. One thread at a time.

#include <zero/collectives/communicator.hpp>
#include <zero/optim/processor.hpp>
#include <zero/ranks.h>

#include <memory>

struct zero_ranks {
  std::shared_ptr<void> keeps;  // outlives the communicator: a world, a device, a transport
  std::unique_ptr<zero::collectives::communicator> communicator;
  std::unique_ptr<zero::optim::processor> work;  // null: the host's
  int local_rank = 0;
  bool in_use = false;  // by an optimizer
};
