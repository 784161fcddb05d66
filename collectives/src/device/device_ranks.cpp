#include <zero/collectives/device_ranks.hpp>
#include <zero/collectives/nccl.hpp>

namespace zero::collectives {

device_rank join_over_nccl(int ordinal, communicator& peers) {
  device_rank made;
  made.device = std::make_unique<cuda_device>(ordinal);
  made.ranks = make_nccl(*made.device, {peers.rank(), peers.size()}, bootstrap_over(peers));
  return made;
}

device_rank join_on_one(one_device_world& world, int rank, int ordinal) {
  device_rank made;
  made.device = std::make_unique<cuda_device>(ordinal);
  made.ranks = world.join(rank, *made.device);
  return made;
}

}  // namespace zero::collectives
