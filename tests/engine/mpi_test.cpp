// The engine over MPI, its ranks on hosts as far as the library can tell: the bits are those of one
// host, and the bytes that cross hosts are those predicted, for every policy and arrangement.

#include "engine/toy_client.hpp"
#include "support/mpi_main.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace zero::testing {
namespace {

struct arrangement {
  const char* name;
  std::vector<int> hosts;
};

std::vector<arrangement> arrangements() {
  std::vector<int> one;
  std::vector<int> halves;
  std::vector<int> in_turn;
  std::vector<int> pairs;
  const int size = mpi_size();
  for (int rank = 0; rank < size; ++rank) {
    one.push_back(0);
    halves.push_back(rank < size / 2 ? 0 : 1);
    in_turn.push_back(rank % 2);
    pairs.push_back(rank / 2);
  }
  return {{"one", one}, {"halves", halves}, {"in_turn", in_turn}, {"pairs", pairs}};
}

toy_run base_run(int accumulate) {
  toy_run run;
  run.type = dtype::bf16;
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.clip_norm = 1.0;
  run.micro_batches = run.options.accumulate = accumulate;
  return run;
}

void expect_crossing_as_predicted(const toy_result& result, const toy_run& run,
                                  const std::vector<int>& hosts, int rank) {
  const std::uint64_t each =
      sharded_optimizer::predict_crossing(toy_model(run.type), run.options, hosts, rank);
  EXPECT_EQ(result.traffic_at_end.crossed - result.traffic_after_first_step.crossed,
            static_cast<std::uint64_t>(run.steps - 1) * each);
  const bool is_spread = hosts.front() != hosts.back();
  EXPECT_EQ(each > 0, is_spread);
}

TEST(engine_over_mpi, has_the_bits_of_one_host_and_crosses_as_predicted) {
  for (const int accumulate : {1, 2}) {
    std::string expected;
    for (const arrangement& where : arrangements()) {
      const auto ranks = mpi_world(where.hosts);
      for (const std::string& row : partition::policy_names()) {
        for (int size = 1; size <= ranks->size(); ++size) {
          if (ranks->size() % size != 0 || (size > 1 && !partition::has_groups(row))) continue;
          SCOPED_TRACE(std::string(where.name) + ", " + row + " in groups of " +
                       std::to_string(size));
          toy_run run = base_run(accumulate);
          run.options.policy = partition::policy_of_name(row, size);
          const toy_result result = train_toy(*ranks, run);
          if (expected.empty()) expected = to_hex(result.digest);
          EXPECT_EQ(to_hex(result.digest), expected);
          EXPECT_EQ(result.memory.predicted, result.memory.measured);
          expect_crossing_as_predicted(result, run, where.hosts, ranks->rank());
        }
      }
    }
  }
}

// Hosts are nodes here, and what crosses them is codes.
TEST(engine_over_mpi, crosses_as_predicted_in_codes_with_the_bits_of_nodes_on_one_host) {
  const auto one = mpi_world(arrangements().front().hosts);
  for (const arrangement& where : arrangements()) {
    const auto ranks = mpi_world(where.hosts);
    const int size = ranks->size();
    const int node_ranks = where.name == std::string("halves")  ? size / 2
                           : where.name == std::string("pairs") ? 2
                                                                : 0;
    for (const char* row : {"1", "3", "hybrid", "hpz"}) {
      SCOPED_TRACE(std::string(where.name) + ", " + row);
      toy_run run = base_run(2);
      run.options.quantized_gather = 8;
      run.options.quantized_reduce = 4;
      run.options.policy = partition::policy_of_name(row, 2);
      const toy_result result = train_toy(*ranks, run);
      EXPECT_EQ(result.memory.predicted, result.memory.measured);
      expect_crossing_as_predicted(result, run, where.hosts, ranks->rank());
      run.options.node_ranks = node_ranks;
      EXPECT_EQ(to_hex(train_toy(*one, run).digest), to_hex(result.digest));
    }
  }
}

}  // namespace
}  // namespace zero::testing

int main(int argc, char** argv) { return zero::testing::mpi_test_main(argc, argv); }
