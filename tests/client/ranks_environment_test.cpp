// Processes that find each other by the variables of whoever started them.

#include "client/meeting_ranks.hpp"

#include <zero/collectives/shared_memory.hpp>

#include <ostream>

namespace zero::testing {
namespace {

// ---- by the environment -----------------------------------------------------------------------

struct launcher {
  std::string name;
  // The variables of a rank of two.
  std::function<environment(const std::string& rank, const std::string& run)> variables;
};

std::ostream& operator<<(std::ostream& out, const launcher& l) { return out << l.name; }

class launchers : public ::testing::TestWithParam<launcher> {};

TEST_P(launchers, ranks_of_one_run_meet_and_of_two_do_not_mix) {
  const auto variables = [](int rank, const std::string& run) {
    return GetParam().variables(std::to_string(rank), run);
  };
  const std::string run = std::to_string(getpid());
  std::vector<forked_body> bodies;
  for (int i = 0; i < 4; ++i) {
    bodies.push_back([=] {
      return meet_in(variables(i / 2, run + std::to_string(i % 2)), i / 2,
                     static_cast<float>(i % 2 == 0 ? 1 : 100));
    });
  }
  forked ranks(bodies);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(ranks.wait(i).status, ZERO_OK) << ranks.wait(i).why.text;
    EXPECT_EQ(ranks.wait(i).value, i % 2 == 0 ? 2 : 200);
  }
}

INSTANTIATE_TEST_SUITE_P(
    each, launchers,
    ::testing::Values(launcher{"torchrun",
                               [](const std::string& rank, const std::string& run) {
                                 return environment{
                                     {"RANK", rank},       {"WORLD_SIZE", "2"},
                                     {"LOCAL_RANK", rank}, {"LOCAL_WORLD_SIZE", "2"},
                                     {"MASTER_PORT", "1"}, {"TORCHELASTIC_RUN_ID", run}};
                               }},
                      launcher{"hand_set_port",
                               [](const std::string& rank, const std::string& run) {
                                 return environment{{"RANK", rank},
                                                    {"WORLD_SIZE", "2"},
                                                    {"MASTER_ADDR", "localhost"},
                                                    {"MASTER_PORT", run}};
                               }},
                      launcher{"hand_set_name",
                               [](const std::string& rank, const std::string& run) {
                                 return environment{
                                     {"RANK", rank}, {"WORLD_SIZE", "2"}, {"ZERO_MEETING", run}};
                               }},
                      launcher{"open_mpi_4",
                               [](const std::string& rank, const std::string& run) {
                                 return environment{{"OMPI_COMM_WORLD_RANK", rank},
                                                    {"OMPI_COMM_WORLD_SIZE", "2"},
                                                    {"OMPI_COMM_WORLD_LOCAL_RANK", rank},
                                                    {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                                                    {"OMPI_MCA_ess_base_jobid", run}};
                               }},
                      launcher{"open_mpi_5",
                               [](const std::string& rank, const std::string& run) {
                                 return environment{
                                     {"OMPI_COMM_WORLD_RANK", rank},
                                     {"OMPI_COMM_WORLD_SIZE", "2"},
                                     {"OMPI_COMM_WORLD_LOCAL_RANK", rank},
                                     {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                                     {"PMIX_NAMESPACE", "prterun-here-" + run + "@1"}};
                               }},
                      launcher{"slurm",
                               [](const std::string& rank, const std::string& run) {
                                 return environment{
                                     {"SLURM_PROCID", rank},  {"SLURM_STEP_NUM_TASKS", "2"},
                                     {"SLURM_LOCALID", rank}, {"SLURM_STEP_TASKS_PER_NODE", "2"},
                                     {"SLURM_JOB_ID", "17"},  {"SLURM_STEP_ID", run}};
                               }},
                      launcher{"slurm_with_pmi",
                               [](const std::string& rank, const std::string& run) {
                                 return environment{
                                     {"SLURM_PROCID", rank},  {"SLURM_STEP_NUM_TASKS", "2"},
                                     {"SLURM_LOCALID", rank}, {"SLURM_JOB_ID", run},
                                     {"PMI_RANK", rank},      {"PMI_SIZE", "2"}};
                               }}),
    [](const auto& test) { return test.param.name; });

TEST(environment_ranks, of_a_plain_shell_loop_meet_by_their_session) {
  // A session of its own, so that no other loop of this terminal is in the way.
  forked session({[] {
    EXPECT_GT(setsid(), 0);
    std::vector<forked_body> bodies;
    for (int rank = 0; rank < 3; ++rank) {
      for (const bool by_pmi : {false, true}) {
        bodies.push_back([=] {
          if (by_pmi) {
            EXPECT_GT(setsid(), 0);  // in none that the others are in
          }
          return meet_in({{by_pmi ? "PMI_RANK" : "RANK", std::to_string(rank)},
                          {by_pmi ? "PMI_SIZE" : "WORLD_SIZE", "3"},
                          {"ZERO_MEETING", by_pmi ? "by pmi " + std::to_string(getppid()) : ""}},
                         rank, by_pmi ? 100 : 1);
        });
      }
    }
    forked ranks(bodies);
    forked_outcome came_to{ZERO_OK, {}, 0};
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      EXPECT_EQ(ranks.wait(i).value, i % 2 == 0 ? 3 : 300) << ranks.wait(i).why.text;
    }
    return came_to;
  }});
  EXPECT_EQ(session.wait(0).status, ZERO_OK);
}

TEST(environment_ranks, are_one_where_no_variable_says_otherwise) {
  forked processes({[] { return meet_in({}, 0, 5); },
                    [] {
                      return meet_in({{"RANK", "0"}, {"WORLD_SIZE", "1"}}, 0, 5);
                    },
                    [] {
                      return meet_in({{"SLURM_NTASKS", "8"}, {"SLURM_JOB_ID", "3"}}, 0, 5);
                    }});
  for (const std::size_t i : {0, 1, 2}) {
    EXPECT_EQ(processes.wait(i).status, ZERO_OK) << processes.wait(i).why.text;
    EXPECT_EQ(processes.wait(i).value, 5);
  }
}

TEST(environment_ranks, that_disagree_are_refused_by_both_names_and_values) {
  forked processes({[] {
                      return meet_in({{"RANK", "0"},
                                      {"WORLD_SIZE", "2"},
                                      {"OMPI_COMM_WORLD_RANK", "1"},
                                      {"OMPI_COMM_WORLD_SIZE", "2"}},
                                     0, 0);
                    },
                    [] {
                      return meet_in({{"RANK", "0"},
                                      {"WORLD_SIZE", "8"},
                                      {"SLURM_PROCID", "0"},
                                      {"SLURM_STEP_NUM_TASKS", "2"}},
                                     0, 0);
                    },
                    [] {
                      return meet_in({{"WORLD_SIZE", "8"}}, 0, 0);
                    }});
  const char* const said[] = {"RANK is 0 but OMPI_COMM_WORLD_RANK is 1",
                              "WORLD_SIZE is 8 but SLURM_STEP_NUM_TASKS is 2",
                              "WORLD_SIZE is set but RANK is not"};
  for (const std::size_t i : {0, 1, 2}) {
    EXPECT_EQ(processes.wait(i).status, ZERO_INVALID);
    EXPECT_TRUE(says(processes.wait(i), said[i])) << processes.wait(i).why.text;
  }
}

TEST(environment_ranks, of_several_machines_without_mpi_are_refused_at_once) {
  forked processes(
      {[] {
         return meet_in(
             {{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "4"}},
             1, 0);
       },
       [] {
         return meet_in({{"SLURM_PROCID", "3"},
                         {"SLURM_STEP_NUM_TASKS", "4"},
                         {"SLURM_LOCALID", "0"},
                         {"SLURM_NODEID", "2"},
                         {"SLURM_STEP_TASKS_PER_NODE", "1(x2),2"}},
                        0, 0);
       }});
  EXPECT_EQ(processes.wait(0).status, ZERO_INVALID);
  EXPECT_TRUE(says(processes.wait(0), "8 ranks, of which 4 are on this machine"))
      << processes.wait(0).why.text;
  EXPECT_EQ(processes.wait(1).status, ZERO_INVALID);
  EXPECT_TRUE(says(processes.wait(1), "4 ranks, of which 2 are on this machine"))
      << processes.wait(1).why.text;
}

// ---- by an arena that is handed down ----------------------------------------------------------

TEST(environment_ranks, take_the_arena_of_our_launcher_and_meet_by_it_the_second_time) {
  const auto world = collectives::shared_memory_world::create(3);
  std::vector<forked_body> bodies;
  for (int rank = 0; rank < 3; ++rank) {
    bodies.push_back([&, rank] {
      const environment variables{{"RANK", std::to_string(rank)},
                                  {"WORLD_SIZE", "3"},
                                  {"ZERO_ARENA_FD", std::to_string(world.descriptor())}};
      EXPECT_EQ(meet_in(variables, rank, 1).value, 3);
      EXPECT_TRUE(world.has_joined(rank));
      return meet_in(variables, rank, 10);
    });
  }
  forked ranks(bodies);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(ranks.wait(i).status, ZERO_OK) << ranks.wait(i).why.text;
    EXPECT_EQ(ranks.wait(i).value, 30);
  }
}

TEST(environment_ranks, refuse_what_is_no_arena_or_not_theirs) {
  const auto world = collectives::shared_memory_world::create(3);
  const auto meet_with = [](const std::string& descriptor) {
    return meet_in({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"ZERO_ARENA_FD", descriptor}}, 0, 0);
  };
  forked processes({[&] { return meet_with(std::to_string(world.descriptor())); },
                    [&] { return meet_with("0"); }, [&] { return meet_with("1000"); }});
  EXPECT_EQ(processes.wait(0).status, ZERO_INVALID);
  EXPECT_TRUE(says(processes.wait(0), "ZERO_ARENA_FD is for 3")) << processes.wait(0).why.text;
  EXPECT_EQ(processes.wait(1).status, ZERO_INVALID) << processes.wait(1).why.text;
  EXPECT_EQ(processes.wait(2).status, ZERO_FAILURE);
  EXPECT_TRUE(says(processes.wait(2), "ZERO_ARENA_FD is 1000")) << processes.wait(2).why.text;
}

}  // namespace
}  // namespace zero::testing
