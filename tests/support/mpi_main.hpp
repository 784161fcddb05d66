#pragma once
// A GoogleTest program whose processes are the ranks of one MPI world: every rank runs every test,
// rank 0 reports. The first argument that is left is the name of the ctest case.

#include <zero/collectives/mpi.hpp>

#include <gtest/gtest.h>
#include <mpi.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace zero::testing {

inline int mpi_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

inline int mpi_size() {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

// A fresh communicator of all ranks, taken for ranks on these hosts.
inline std::unique_ptr<collectives::communicator> mpi_world(const std::vector<int>& hosts = {}) {
  collectives::mpi_options options;
  options.bytes_per_rank = std::uint64_t{256} << 20;
  options.hosts = hosts;
  return collectives::make_mpi(options);
}

// Whether every rank says so.
inline bool everywhere(bool here) {
  int mine = here ? 1 : 0;
  int all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  return all != 0;
}

inline int mpi_test_main(int argc, char** argv) {
  int level = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
  const char* const output = std::getenv("GTEST_OUTPUT");
  if (mpi_rank() != 0) {
    unsetenv("GTEST_OUTPUT");
  } else if (output != nullptr && argc > 1 && std::string(output).back() == '/') {
    setenv("GTEST_OUTPUT", (output + std::string(argv[1]) + ".xml").c_str(), 1);
  }
  ::testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  const bool all_passed = everywhere(failed == 0);
  MPI_Finalize();
  return all_passed ? 0 : 1;
}

}  // namespace zero::testing
