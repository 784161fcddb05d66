// The contract over functions of a client's, with a broadcast among them and without.
#include "collectives/rank_means.hpp"
#include "contract/communicator_contract.hpp"

namespace zero::testing {
namespace {

backend with_broadcast(const std::string& name, bool has_broadcast, std::vector<int> sizes) {
  return {name, std::move(sizes), [has_broadcast](int size, const auto& body) {
            EXPECT_NO_THROW(run_transport(size, has_broadcast, body));
          }};
}

INSTANTIATE_TEST_SUITE_P(transport, communicator_contract,
                         ::testing::Values(with_broadcast("all_functions", true, {1, 2, 3, 4}),
                                           with_broadcast("no_broadcast", false, {3})),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace zero::testing
