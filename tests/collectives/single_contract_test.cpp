// The contract with one rank and nobody else.
#include "contract/communicator_contract.hpp"

#include <zero/collectives/single.hpp>

namespace zero::testing {

INSTANTIATE_TEST_SUITE_P(single, communicator_contract,
                         ::testing::Values(backend{"single", {1}, [](int, const auto& body) {
                                                     const auto ranks = collectives::make_single();
                                                     EXPECT_NO_THROW(body(*ranks));
                                                   }}));

}  // namespace zero::testing
