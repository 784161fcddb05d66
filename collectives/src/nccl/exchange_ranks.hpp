#pragma once
// exchange_ranks: a rank's communicator from the parts that a kind of device brings.

#include "device/queue.hpp"
#include "nccl/exchange_executor.hpp"
#include "nccl/link.hpp"
#include "shared_memory/arena.hpp"

#include <zero/collectives/communicator.hpp>

#include <memory>

namespace zero::collectives {

// Rank `rank` of the world of `pages`. `name` has static storage.
[[nodiscard]] std::unique_ptr<communicator> join_exchange(
    std::shared_ptr<const arena> pages, int rank, std::shared_ptr<device_queue> queue,
    const exchange_staging& staging, std::shared_ptr<link> peers,
    std::shared_ptr<memory_resource> memory, const char* name);

}  // namespace zero::collectives
