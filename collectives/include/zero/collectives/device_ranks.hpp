#pragma once
// device_ranks: a rank with a GPU: its device, and a communicator of that device's memory. Ranks
// that are threads of one process can share a GPU; others have one each. Compiles without CUDA.

#include <zero/base/cuda.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/collectives/one_device.hpp>

#include <memory>

#pragma GCC visibility push(default)
namespace zero::collectives {

// Members are destroyed in reverse.
struct device_rank {
  std::unique_ptr<cuda_device> device;
  std::unique_ptr<communicator> ranks;
};

// With GPU `ordinal` to itself, over NCCL; `peers` are the same ranks on the host, by which they
// find each other, and must outlive what is returned. Collective; blocks. Throws as make_nccl does.
[[nodiscard]] device_rank join_over_nccl(int ordinal, communicator& peers);

// As `rank` of those that share the world's GPU. Throws as one_device_world::join does.
[[nodiscard]] device_rank join_on_one(one_device_world& world, int rank, int ordinal);

}  // namespace zero::collectives
#pragma GCC visibility pop
