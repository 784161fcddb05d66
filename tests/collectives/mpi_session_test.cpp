// A world that starts MPI itself and ends it: what a program that knows nothing of MPI does.
#include "support/mpi_main.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace zero::testing {
namespace {

bool is_over() {
  int over = 0;
  MPI_Finalized(&over);
  return over != 0;
}

// The tests of this program are one story, in this order.
TEST(session, a_starts_mpi_with_threads_and_ends_it_with_the_last_communicator) {
  collectives::mpi_options options;
  options.bytes_per_rank = 1 << 20;
  const MPI_Comm given = MPI_COMM_WORLD;
  options.ranks = &given;
  EXPECT_THROW(static_cast<void>(collectives::make_mpi(options)), invalid_argument);
  int is_started = 1;
  MPI_Initialized(&is_started);
  EXPECT_EQ(is_started, 0) << "for a communicator that cannot be";
  options.ranks = nullptr;
  {
    const auto before = collectives::make_mpi(options);  // keeps MPI going for the next
    options.hosts.assign(static_cast<std::size_t>(before->size() + 1), 0);
    EXPECT_THROW(static_cast<void>(collectives::make_mpi(options)), invalid_argument);
    options.hosts.resize(static_cast<std::size_t>(before->size()));
    std::iota(options.hosts.begin(), options.hosts.end(), 0);
    const auto ranks = collectives::make_mpi(options);
    EXPECT_EQ(ranks->rank(), before->rank());
    const auto group = ranks->split(ranks->rank() / 2, 0);
    std::vector<float> value(100'003, static_cast<float>(1 + ranks->rank()));
    group->all_reduce({value.data(), value.size(), dtype::fp32}).wait();
    ranks->all_reduce({value.data(), value.size(), dtype::fp32}).wait();
    float expected = 0;
    for (int r = 0; r < ranks->size(); ++r) {
      for (int i = r / 2 * 2; i < std::min(r / 2 * 2 + 2, ranks->size()); ++i) {
        expected += static_cast<float>(1 + i);
      }
    }
    EXPECT_EQ(value.front(), expected);
    EXPECT_EQ(value.back(), expected);
    EXPECT_FALSE(is_over());
  }
  EXPECT_TRUE(is_over());
}

TEST(session, b_cannot_start_mpi_again) {
  EXPECT_THROW(static_cast<void>(collectives::make_mpi()), invalid_argument);
  EXPECT_FALSE(collectives::mpi_version().empty());
}

}  // namespace
}  // namespace zero::testing

int main(int argc, char** argv) {
  // Rank 0 alone writes the report, as in mpi_test_main, which would start MPI.
  zero::testing::choose_report(argc, argv, zero::testing::launched_rank());
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
