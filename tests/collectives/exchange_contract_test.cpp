// The contract of the backend whose ranks have a device each, on devices and links of threads.
#include "collectives/run_joined.hpp"
#include "collectives/simulated_link.hpp"
#include "contract/communicator_contract.hpp"
#include "nccl/exchange_ranks.hpp"

namespace zero::testing {
namespace {

// staging_bytes: little, so that sums go in many pieces.
void run_on(int size, int pause_us, std::uint64_t staging_bytes,
            const std::function<void(communicator&)>& body) {
  simulated_device device(pause_us);
  auto pages = std::make_shared<collectives::arena>(collectives::arena::create_exactly(size, 1));
  auto boxes = std::make_shared<mailboxes>(size);
  joined_ranks ranks;
  for (int rank = 0; rank < size; ++rank) {
    auto queue = std::make_shared<simulated_queue>(device);
    collectives::exchange_staging staging;
    staging.bytes = staging_bytes;
    staging.memory = {static_cast<std::byte*>(device.memory().allocate(staging_bytes)),
                      [&device, staging_bytes](std::byte* block) {
                        device.memory().deallocate(block, staging_bytes);
                      }};
    auto peers = std::make_shared<simulated_link>(boxes, rank, queue->work());
    ranks.push_back(collectives::join_exchange(pages, rank, queue, staging, peers,
                                               {queue, &device.memory()}, "simulated"));
  }
  EXPECT_NO_THROW(run_joined(ranks, body));
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(
    exchange, communicator_contract,
    ::testing::Values(backend{"prompt",
                              {1, 2, 3, 4},
                              [](int size, const auto& body) { run_on(size, 0, 1u << 20, body); },
                              copy_simulated},
                      backend{"little_staging",
                              {3},
                              [](int size, const auto& body) { run_on(size, 0, 128u << 10, body); },
                              copy_simulated},
                      backend{
                          "slow",
                          {2, 3},
                          [](int size, const auto& body) { run_on(size, 200, 256u << 10, body); },
                          copy_simulated}),
    [](const auto& test) { return test.param.name; });

}  // namespace zero::testing
