#include "one_device/one_device_ranks.hpp"

#include "device/device_communicator.hpp"
#include "one_device/peer_executor.hpp"

#include <zero/base/error.hpp>

#include <string>
#include <utility>

namespace zero::collectives {

one_device_ranks::one_device_ranks(int size) : tables_(std::make_shared<peer_tables>()) {
  if (size < 1 || size > static_cast<int>(most_sources)) {
    throw invalid_argument("[collectives.one_device] " + std::to_string(size) +
                           " ranks: accepted are 1 to " + std::to_string(most_sources));
  }
  pages_ = std::make_shared<arena>(arena::create_exactly(size, 1));  // for its control pages
}

std::unique_ptr<communicator> one_device_ranks::join(int rank,
                                                     std::unique_ptr<device_queue> queue) {
  if (rank < 0 || rank >= size()) {
    throw invalid_argument("[collectives.one_device] rank " + std::to_string(rank) + " of " +
                           std::to_string(size()));
  }
  if (pages_->entry(rank).joined.exchange(1) != 0) {
    throw invalid_argument("[collectives.one_device] rank " + std::to_string(rank) +
                           " has joined before");
  }
  auto lane = std::make_shared<device_lane>(pages_, rank, std::move(queue));
  const auto make = [shared = lane->shared_queue(), tables = tables_](group& ranks,
                                                                      std::uint64_t block) {
    return std::make_unique<peer_executor>(ranks, block, shared, tables);
  };
  // The queue's, which the lane keeps.
  std::shared_ptr<memory_resource> memory(lane->shared_queue(), &lane->queue().memory());
  return std::make_unique<device_communicator>(std::move(lane), pages_->header().world_block, rank,
                                               nullptr, make, std::move(memory), "one_device");
}

}  // namespace zero::collectives
