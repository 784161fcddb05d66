// The contract with the ranks as processes of an MPI world: all on one host, and spread over
// several as far as the library can tell, so that everything between them goes by MPI.
#include "contract/communicator_contract.hpp"
#include "support/mpi_main.hpp"

#include <algorithm>

namespace zero::testing {
namespace {

backend on_hosts(const std::string& name, const std::function<int(int rank, int size)>& host_of) {
  backend made;
  made.name = name;
  made.sizes = {mpi_size()};
  made.turns = 3;
  made.run = [host_of](int size, const auto& body) {
    std::vector<int> hosts;
    for (int r = 0; r < size; ++r) hosts.push_back(host_of(r, size));
    const auto ranks = mpi_world(hosts);
    EXPECT_NO_THROW(body(*ranks));
  };
  // By the order in which their first rank comes.
  made.host_of = [host_of](int rank, int size) {
    std::vector<int> seen;
    for (int r = 0; r < size; ++r) {
      const int named = host_of(r, size);
      const auto found = std::find(seen.begin(), seen.end(), named);
      if (r == rank) return static_cast<int>(found - seen.begin());
      if (found == seen.end()) seen.push_back(named);
    }
    return -1;
  };
  return made;
}

std::vector<backend> backends() {
  return {on_hosts("one_host", [](int, int) { return 0; }),
          on_hosts("halves", [](int rank, int size) { return rank < (size + 1) / 2 ? 0 : 1; }),
          on_hosts("first_alone", [](int rank, int) { return rank == 0 ? 7 : 3; }),
          on_hosts("each_alone", [](int rank, int) { return rank; }),
          on_hosts("in_turn", [](int rank, int) { return rank % 2; }),
          on_hosts("three", [](int rank, int) { return rank < 2 ? 0 : rank; })};
}

INSTANTIATE_TEST_SUITE_P(mpi, communicator_contract, ::testing::ValuesIn(backends()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace zero::testing

int main(int argc, char** argv) { return zero::testing::mpi_test_main(argc, argv); }
