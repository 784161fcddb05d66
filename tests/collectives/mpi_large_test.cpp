// Counts that do not fit an int, which MPI's own counts are.
#include "support/mpi_main.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

constexpr std::size_t large = (std::size_t{1} << 31) + 4099;

std::uint64_t available_kib() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("MemAvailable:", 0) == 0) return std::stoull(line.substr(13));
  }
  return 0;
}

std::uint8_t pattern(std::size_t i) { return static_cast<std::uint8_t>(i * 2654435761U >> 24); }

TEST(large, broadcast_arrives_whole) {
  if (!everywhere(available_kib() > 10'000'000)) GTEST_SKIP() << "needs 10 GB of free memory";
  const auto ranks = mpi_world({0, 1});
  std::vector<std::uint8_t> bytes(large);
  if (ranks->rank() == 0) {
    for (std::size_t i = 0; i < large; ++i) bytes[i] = pattern(i);
  }
  ranks->broadcast({bytes.data(), large, dtype::byte}, 0).wait();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < large; ++i) wrong += bytes[i] != pattern(i);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(ranks->traffic().crossed, ranks->rank() == 0 ? large : 0);
}

}  // namespace
}  // namespace zero::testing

int main(int argc, char** argv) { return zero::testing::mpi_test_main(argc, argv); }
