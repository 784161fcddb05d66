#include "nccl/exchange_ranks.hpp"

#include "device/device_communicator.hpp"

#include <utility>

namespace zero::collectives {

std::unique_ptr<communicator> join_exchange(std::shared_ptr<const arena> pages, int rank,
                                            std::shared_ptr<device_queue> queue,
                                            const exchange_staging& staging,
                                            std::shared_ptr<link> peers,
                                            std::shared_ptr<memory_resource> memory,
                                            const char* name) {
  const std::uint64_t block = pages->header().world_block;
  auto lane = std::make_shared<device_lane>(std::move(pages), rank, queue);
  const auto make = [&](group& ranks, std::uint64_t) {
    return std::make_unique<exchange_executor>(ranks, queue, staging, peers);
  };
  return std::make_unique<device_communicator>(std::move(lane), block, rank, nullptr, make,
                                               std::move(memory), name);
}

}  // namespace zero::collectives
