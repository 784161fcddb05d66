// Who a process is, from every launcher's variables, alone, together, broken and at odds.

#include <zero/base/error.hpp>
#include <zero/collectives/launched.hpp>

#include <gtest/gtest.h>

#include <map>

namespace zero::collectives {
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
    static_cast<void>(rank_from_environment(of(e)));
  } catch (const invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

struct known {
  environment variables;
  int rank;
  int size;
  int local_rank;
};

class Launcher : public testing::TestWithParam<known> {};

TEST_P(Launcher, IsUnderstood) {
  const auto identity = rank_from_environment(of(GetParam().variables));
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->who.rank, GetParam().rank);
  EXPECT_EQ(identity->who.size, GetParam().size);
  EXPECT_EQ(identity->local_rank, GetParam().local_rank);
  // Nobody says it alike; Slurm and the plainest launchers not at all.
  EXPECT_EQ(identity->ranks_of_host.has_value(),
            GetParam().variables.count("LOCAL_WORLD_SIZE") +
                    GetParam().variables.count("OMPI_COMM_WORLD_LOCAL_SIZE") >
                0);
  EXPECT_EQ(identity->arena, -1);
}

INSTANTIATE_TEST_SUITE_P(
    Each, Launcher,
    testing::Values(
        known{{{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "4"}},
              5,
              8,
              1},
        known{{{"RANK", "0"}, {"WORLD_SIZE", "1"}}, 0, 1, 0},
        known{{{"OMPI_COMM_WORLD_RANK", "2"},
               {"OMPI_COMM_WORLD_SIZE", "3"},
               {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}},
              2,
              3,
              0},
        known{{{"PMI_RANK", "6"}, {"PMI_SIZE", "7"}}, 6, 7, 6},
        known{{{"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_LOCALID", "1"}},
              3,
              4,
              1},
        known{
            {{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_NTASKS", "8"}}, 0, 4, 0},
        known{{{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}}, 1, 2, 1},
        // Two that agree.
        known{{{"RANK", "1"},
               {"WORLD_SIZE", "2"},
               {"OMPI_COMM_WORLD_RANK", "1"},
               {"OMPI_COMM_WORLD_SIZE", "2"}},
              1,
              2,
              1}));

class NoLauncher : public testing::TestWithParam<environment> {};

TEST_P(NoLauncher, IsAPlainProcess) {
  EXPECT_FALSE(rank_from_environment(of(GetParam())).has_value());
}

INSTANTIATE_TEST_SUITE_P(
    Each, NoLauncher,
    testing::Values(
        environment{},
        // An allocation nobody started ranks in, a batch script in one, a shell that srun started.
        environment{{"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "17"}},
        environment{{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}},
        environment{{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_NTASKS", "4"}},
        environment{{"LOCAL_RANK", "3"}}, environment{{"OMPI_COMM_WORLD_LOCAL_RANK", "1"}}));

struct broken {
  environment variables;
  std::vector<std::string> said;
};

class Broken : public testing::TestWithParam<broken> {};

TEST_P(Broken, IsRefusedByName) {
  const std::string message = refusal(GetParam().variables);
  for (const std::string& part : GetParam().said) {
    EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' in: " << message;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, Broken,
    testing::Values(broken{{{"RANK", "x"}, {"WORLD_SIZE", "2"}}, {"RANK", "'x'"}},
                    broken{{{"RANK", ""}, {"WORLD_SIZE", "2"}}, {"RANK", "''"}},
                    broken{{{"RANK", "-1"}, {"WORLD_SIZE", "2"}}, {"RANK", "'-1'"}},
                    broken{{{"RANK", "0"}, {"WORLD_SIZE", "0"}}, {"WORLD_SIZE", "'0'", "from 1"}},
                    broken{{{"RANK", "2"}, {"WORLD_SIZE", "2"}},
                           {"RANK is 2", "WORLD_SIZE is only 2"}},
                    broken{{{"RANK", "0"}}, {"RANK is set but WORLD_SIZE is not"}},
                    broken{{{"WORLD_SIZE", "2"}}, {"WORLD_SIZE is set but RANK is not"}},
                    broken{{{"PMI_SIZE", "2"}}, {"PMI_SIZE is set but PMI_RANK is not"}},
                    broken{{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "one"}},
                           {"LOCAL_RANK", "'one'"}},
                    broken{{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"ZERO_ARENA_FD", "q"}},
                           {"ZERO_ARENA_FD", "'q'"}},
                    broken{{{"RANK", "0"},
                            {"WORLD_SIZE", "2"},
                            {"OMPI_COMM_WORLD_RANK", "1"},
                            {"OMPI_COMM_WORLD_SIZE", "2"}},
                           {"RANK is 0 but OMPI_COMM_WORLD_RANK is 1"}},
                    broken{{{"PMI_RANK", "0"},
                            {"PMI_SIZE", "4"},
                            {"SLURM_PROCID", "0"},
                            {"SLURM_STEP_NUM_TASKS", "2"}},
                           {"PMI_SIZE is 4 but SLURM_STEP_NUM_TASKS is 2"}},
                    broken{{{"RANK", "0"},
                            {"WORLD_SIZE", "4"},
                            {"LOCAL_RANK", "0"},
                            {"PMI_RANK", "0"},
                            {"PMI_SIZE", "4"},
                            {"MPI_LOCALRANKID", "1"}},
                           {"LOCAL_RANK is 0 but MPI_LOCALRANKID is 1"}}));

TEST(RankEnvironment, TakesTheArenaOfOurOwnLauncher) {
  const auto identity =
      rank_from_environment(of({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"ZERO_ARENA_FD", "7"}}));
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->arena, 7);
}

const environment two_ranks{{"RANK", "1"}, {"WORLD_SIZE", "2"}};

environment with(environment base, const environment& more) {
  base.insert(more.begin(), more.end());
  return base;
}

std::string run_of(const environment& e) {
  return rank_from_environment(of(with(two_ranks, e)))->run;
}

TEST(RankEnvironment, NamesTheRun) {
  EXPECT_EQ(run_of({}), "");
  EXPECT_EQ(run_of({{"MASTER_ADDR", "here"}, {"MASTER_PORT", "7"}}),
            "MASTER_ADDR here, MASTER_PORT 7");
  EXPECT_EQ(run_of({{"PMIX_NAMESPACE", "p@1"}, {"SLURM_JOB_ID", ""}}), "PMIX_NAMESPACE p@1");
  EXPECT_EQ(run_of({{"MASTER_PORT", "7"}, {"ZERO_MEETING", "mine"}}), "mine");
  // Every one of these tells two runs apart.
  for (const char* const name :
       {"MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT",
        "OMPI_MCA_ess_base_jobid", "PMIX_NAMESPACE", "SLURM_JOB_ID", "SLURM_STEP_ID"}) {
    EXPECT_NE(run_of({{name, "1"}}), run_of({{name, "2"}})) << name;
  }
}

TEST(RankEnvironment, KnowsHowManyRanksAreOfThisMachine) {
  const auto here = [](const environment& e) {
    return rank_from_environment(of(e))->ranks_of_host;
  };
  const environment slurm{{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "9"}};
  const auto of_node = [&](const std::string& list, const std::string& node) {
    return here(with(slurm, {{"SLURM_STEP_TASKS_PER_NODE", list}, {"SLURM_NODEID", node}}));
  };
  EXPECT_EQ(here(slurm), std::nullopt);
  EXPECT_EQ(of_node("9", "0"), 9);
  EXPECT_EQ(of_node("4(x2),1", "1"), 4);
  EXPECT_EQ(of_node("4(x2),1", "2"), 1);
  EXPECT_EQ(of_node("1,4(x2)", "2"), 4);
  for (const char* const list : {"", "4", "4(x2", "4(x)", "x", "4,,5"}) {
    EXPECT_NE(refusal(with(slurm, {{"SLURM_STEP_TASKS_PER_NODE", list}, {"SLURM_NODEID", "1"}}))
                  .find("SLURM_STEP_TASKS_PER_NODE"),
              std::string::npos)
        << list;
  }
  EXPECT_EQ(here({{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}, {"MPI_LOCALNRANKS", "2"}}), 2);
  // What the first does not say another may.
  EXPECT_EQ(here(with(two_ranks, {{"OMPI_COMM_WORLD_RANK", "1"},
                                  {"OMPI_COMM_WORLD_SIZE", "2"},
                                  {"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}})),
            1);
  EXPECT_TRUE(
      rank_from_environment(of(with(two_ranks, {{"LOCAL_WORLD_SIZE", "1"}})))->spans_machines());
  EXPECT_FALSE(rank_from_environment(of(two_ranks))->spans_machines());
}

TEST(RankEnvironment, KnowsWhetherMpiStartedIt) {
  EXPECT_FALSE(rank_from_environment(of(two_ranks))->by_mpi);
  EXPECT_TRUE(rank_from_environment(of(with(two_ranks, {{"PMIX_RANK", "1"}})))->by_mpi);
  EXPECT_TRUE(rank_from_environment(of({{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}}))->by_mpi);
}

}  // namespace
}  // namespace zero::collectives
