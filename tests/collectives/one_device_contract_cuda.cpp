// The contract with the ranks as threads that share a GPU.
#include "collectives/gpu_copy_cuda.hpp"
#include "collectives/run_joined.hpp"
#include "contract/communicator_contract.hpp"

#include <zero/collectives/one_device.hpp>

#include <memory>
#include <vector>

namespace zero::testing {
namespace {

void run_on_a_gpu(int size, const std::function<void(communicator&)>& body) {
  std::vector<std::unique_ptr<cuda_device>> devices;
  auto world = collectives::one_device_world::create(size);
  joined_ranks ranks;
  for (int rank = 0; rank < size; ++rank) {
    devices.push_back(std::make_unique<cuda_device>(0));
    ranks.push_back(world.join(rank, *devices.back()));
  }
  EXPECT_NO_THROW(run_joined(ranks, body));
}

backend one_device_backend() {
  backend made{"one_device", {1, 2, 3, 4, 7}, run_on_a_gpu};
  made.copy = copy_by_gpu;
  made.absent = why_no_gpu();
  return made;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(one_device, communicator_contract,
                         ::testing::Values(one_device_backend()));

TEST(one_device, refuses_what_cannot_be) {
  EXPECT_THROW(collectives::one_device_world::create(2, cuda_device::count()), invalid_argument);
  EXPECT_THROW(collectives::one_device_world::create(2, -1), invalid_argument);
  if (cuda_device::count() == 0) GTEST_SKIP() << why_no_gpu();
  EXPECT_THROW(collectives::one_device_world::create(0), invalid_argument);
  auto world = collectives::one_device_world::create(2);
  EXPECT_EQ(world.size(), 2);
  cuda_device device(0);
  EXPECT_THROW(static_cast<void>(world.join(2, device)), invalid_argument);
  const auto first = world.join(0, device);
  EXPECT_THROW(static_cast<void>(world.join(0, device)), invalid_argument);
  EXPECT_EQ(first->memory().place(), memory_place::device);
}

}  // namespace zero::testing
