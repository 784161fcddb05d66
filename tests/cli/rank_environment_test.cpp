// What the command asks of ranks that a launcher started.

#include "ranks/rank_environment.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <map>

namespace zero::cli {
namespace {

using environment = std::map<std::string, std::string>;

variables of(const environment& e) {
  return [e](const std::string& name) -> std::optional<std::string> {
    const auto found = e.find(name);
    return found == e.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

std::string refusal(const environment& e) {
  try {
    const auto identity = rank_from_environment(of(e));
    if (identity) require_reachable_peers(*identity, false);
  } catch (const invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RankEnvironment, APlainProcessMayStartRanks) {
  EXPECT_NO_THROW(require_no_launcher("launch", of({})));
  // An allocation of Slurm nobody started ranks in.
  EXPECT_NO_THROW(
      require_no_launcher("launch", of({{"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "17"}})));
}

TEST(RankEnvironment, RanksOfAnotherLauncherAreOutOfReachOfSharedMemory) {
  const std::string message =
      refusal({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}});
  for (const char* const part : {"OMPI_COMM_WORLD_RANK", "MPI backend", "--ranks 2"}) {
    EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' in: " << message;
  }
}

TEST(RankEnvironment, TakesTheArenaOfOurOwnLauncher) {
  const auto identity =
      rank_from_environment(of({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"ZERO_ARENA_FD", "7"}}));
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->arena, 7);
  EXPECT_NO_THROW(require_reachable_peers(*identity, false));
}

TEST(RankEnvironment, RanksOfAnotherLauncherMeetByMpi) {
  const auto identity =
      rank_from_environment(of({{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}));
  ASSERT_TRUE(identity.has_value());
  EXPECT_NO_THROW(require_reachable_peers(*identity, true));
  EXPECT_THROW(require_reachable_peers(*identity, false), invalid_argument);
}

TEST(RankEnvironment, OneRankNeedsNoPeers) {
  EXPECT_EQ(refusal({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}), "accepted");
}

TEST(RankEnvironment, StartersRefuseToRunInsideALauncher) {
  try {
    require_no_launcher("compare", of({{"RANK", "1"}, {"WORLD_SIZE", "2"}}));
    FAIL();
  } catch (const invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("zero compare"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("RANK"), std::string::npos);
  }
}

}  // namespace
}  // namespace zero::cli
