// The contract with the ranks as threads of this process.
#include "contract/communicator_contract.hpp"
#include "support/run_ranks.hpp"

namespace zero::testing {

INSTANTIATE_TEST_SUITE_P(threads, communicator_contract,
                         ::testing::Values(backend{
                             "shared_memory", {1, 2, 3, 4, 7}, [](int size, const auto& body) {
                               EXPECT_NO_THROW(run_ranks(size, body));
                             }}));

}  // namespace zero::testing
