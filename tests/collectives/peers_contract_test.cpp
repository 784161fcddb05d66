// The contract of the backend whose ranks share a device, on a device of threads.
#include "collectives/run_joined.hpp"
#include "collectives/simulated_device.hpp"
#include "contract/communicator_contract.hpp"
#include "one_device/one_device_ranks.hpp"

namespace zero::testing {
namespace {

void run_on(int size, int pause_us, const std::function<void(communicator&)>& body) {
  simulated_device device(pause_us);
  collectives::one_device_ranks world(size);
  joined_ranks ranks;
  for (int rank = 0; rank < size; ++rank) ranks.push_back(world.join(rank, device.make_queue()));
  EXPECT_NO_THROW(run_joined(ranks, body));
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(
    peers, communicator_contract,
    ::testing::Values(backend{"prompt",
                              {1, 2, 3, 4, 7},
                              [](int size, const auto& body) { run_on(size, 0, body); },
                              copy_simulated},
                      backend{"slow",
                              {2, 3},
                              [](int size, const auto& body) { run_on(size, 200, body); },
                              copy_simulated}),
    [](const auto& test) { return test.param.name; });

}  // namespace zero::testing
