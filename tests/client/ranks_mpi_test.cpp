// Ranks of a client's MPI_Comm, and of a program of mpirun that knows nothing of MPI.

#include "ranks_handle.hpp"
#include "support/mpi_main.hpp"

#include <zero/ranks.h>

#include <gtest/gtest.h>

#include <string>

namespace zero::testing {
namespace {

float sum_of(zero_ranks* ranks, float own) {
  ranks->communicator->all_reduce({&own, 1, dtype::fp32}).wait();
  return own;
}

int rank_in(MPI_Comm ranks) {
  int rank = -1;
  MPI_Comm_rank(ranks, &rank);
  return rank;
}

TEST(mpi_ranks, are_those_of_the_world) {
  const MPI_Comm world = MPI_COMM_WORLD;
  for (int round = 0; round < 2; ++round) {
    zero_ranks* ranks = nullptr;
    zero_message why;
    ASSERT_EQ(zero_ranks_mpi(&world, &ranks, &why), ZERO_OK) << why.text;
    EXPECT_EQ(zero_ranks_rank(ranks), mpi_rank());
    EXPECT_EQ(zero_ranks_size(ranks), mpi_size());
    EXPECT_EQ(zero_ranks_local_rank(ranks), mpi_rank());  // all are of this machine
    EXPECT_EQ(sum_of(ranks, 1), static_cast<float>(mpi_size()));
    zero_ranks_destroy(ranks);
  }
  EXPECT_TRUE(everywhere(true));  // MPI is the client's, and goes on
}

// Two communicators at once, numbered the other way round; each is a world of its own.
TEST(mpi_ranks, are_those_of_a_part_of_it) {
  MPI_Comm part = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, mpi_rank() % 2, -mpi_rank(), &part);
  zero_ranks* ranks = nullptr;
  zero_message why;
  ASSERT_EQ(zero_ranks_mpi(&part, &ranks, &why), ZERO_OK) << why.text;
  const int rank = rank_in(part);
  MPI_Comm_free(&part);  // it was duplicated
  EXPECT_EQ(zero_ranks_rank(ranks), rank);
  int members = 0;
  float expected = 0;
  for (int r = mpi_rank() % 2; r < mpi_size(); r += 2) {
    ++members;
    expected += static_cast<float>(1 << r);
  }
  EXPECT_EQ(zero_ranks_size(ranks), members);
  EXPECT_EQ(sum_of(ranks, static_cast<float>(1 << mpi_rank())), expected);
  zero_ranks_destroy(ranks);
}

TEST(mpi_ranks, refuse_what_is_no_communicator_of_one_group) {
  const auto refused = [](MPI_Comm given, const std::string& part) {
    zero_ranks* ranks = nullptr;
    zero_message why;
    EXPECT_EQ(zero_ranks_mpi(&given, &ranks, &why), ZERO_INVALID);
    EXPECT_EQ(ranks, nullptr);
    EXPECT_NE(std::string(why.text).find(part), std::string::npos) << why.text;
  };
  refused(MPI_COMM_NULL, "MPI_COMM_NULL");
  if (mpi_size() < 2) return;
  MPI_Comm half = MPI_COMM_NULL;
  const bool is_first = mpi_rank() == 0;
  MPI_Comm_split(MPI_COMM_WORLD, is_first ? 0 : 1, 0, &half);
  MPI_Comm between = MPI_COMM_NULL;
  MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, is_first ? 1 : 0, 5, &between);
  refused(between, "intercommunicator");
  MPI_Comm_free(&between);
  MPI_Comm_free(&half);
}

// mpirun's variables, and no call of MPI: they meet by the name of its job.
TEST(environment_ranks, of_mpirun_meet_by_themselves) {
  for (int round = 0; round < 3; ++round) {
    zero_ranks* ranks = nullptr;
    zero_message why;
    ASSERT_EQ(zero_ranks_environment(&ranks, &why), ZERO_OK) << why.text;
    EXPECT_EQ(zero_ranks_rank(ranks), mpi_rank());
    EXPECT_EQ(zero_ranks_size(ranks), mpi_size());
    EXPECT_STREQ(ranks->communicator->backend(), mpi_size() == 1 ? "single" : "shared_memory");
    EXPECT_EQ(sum_of(ranks, 1), static_cast<float>(mpi_size()));
    zero_ranks_destroy(ranks);
  }
}

// As on two machines: a launcher that says so leaves only MPI.
TEST(environment_ranks, of_mpirun_on_several_machines_meet_by_mpi) {
  if (mpi_size() < 2) GTEST_SKIP() << "one rank";
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "1", 1);
  setenv("OMPI_COMM_WORLD_LOCAL_RANK", "0", 1);
  zero_ranks* ranks = nullptr;
  zero_message why;
  ASSERT_EQ(zero_ranks_environment(&ranks, &why), ZERO_OK) << why.text;
  EXPECT_STREQ(ranks->communicator->backend(), "mpi");
  EXPECT_EQ(zero_ranks_local_rank(ranks), 0);
  EXPECT_EQ(sum_of(ranks, 1), static_cast<float>(mpi_size()));
  zero_ranks_destroy(ranks);
}

}  // namespace
}  // namespace zero::testing

int main(int argc, char** argv) { return zero::testing::mpi_test_main(argc, argv); }
