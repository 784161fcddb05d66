#pragma once
// How a process of a test becomes a rank, by a name or by its environment, and shows with whom it
// has met.

#include "client/run_forked.hpp"
#include "ranks_handle.hpp"

#include <zero/ranks.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

namespace zero::testing {

using environment = std::map<std::string, std::string>;

// Every variable that is read, so that tests run alike under any launcher.
inline constexpr const char* every_variable[] = {"RANK",
                                                 "WORLD_SIZE",
                                                 "LOCAL_RANK",
                                                 "LOCAL_WORLD_SIZE",
                                                 "MASTER_ADDR",
                                                 "MASTER_PORT",
                                                 "TORCHELASTIC_RUN_ID",
                                                 "TORCHELASTIC_RESTART_COUNT",
                                                 "OMPI_COMM_WORLD_RANK",
                                                 "OMPI_COMM_WORLD_SIZE",
                                                 "OMPI_COMM_WORLD_LOCAL_RANK",
                                                 "OMPI_COMM_WORLD_LOCAL_SIZE",
                                                 "OMPI_MCA_ess_base_jobid",
                                                 "PMIX_NAMESPACE",
                                                 "PMIX_RANK",
                                                 "PMI_RANK",
                                                 "PMI_SIZE",
                                                 "MPI_LOCALRANKID",
                                                 "MPI_LOCALNRANKS",
                                                 "SLURM_PROCID",
                                                 "SLURM_NTASKS",
                                                 "SLURM_STEP_NUM_TASKS",
                                                 "SLURM_LOCALID",
                                                 "SLURM_NODEID",
                                                 "SLURM_STEP_TASKS_PER_NODE",
                                                 "SLURM_JOB_ID",
                                                 "SLURM_STEP_ID",
                                                 "ZERO_ARENA_FD",
                                                 "ZERO_MEETING"};

inline void become(const environment& variables) {
  for (const char* const name : every_variable) unsetenv(name);
  for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
}

// A name that no other test, and no other run of this one, has.
inline std::string fresh_name() {
  static int count = 0;
  return "test " + std::to_string(getpid()) + " " + std::to_string(count++);
}

inline zero_rank_spec spec_of(int rank, int size, const std::string& name, double deadline = 60) {
  zero_rank_spec spec{};
  spec.struct_size = sizeof spec;
  spec.rank = rank;
  spec.size = size;
  spec.local_rank = -1;
  spec.local_size = -1;
  spec.meeting = name.c_str();
  spec.deadline_seconds = deadline;
  return spec;
}

// Sums what each rank has: proof that these ranks, and no others, have met.
inline forked_outcome sum_over(zero_status status, zero_ranks* ranks, const zero_message& why,
                               float own) {
  forked_outcome came_to{status, why, 0};
  if (status != ZERO_OK) {
    EXPECT_EQ(ranks, nullptr);
    return came_to;
  }
  ranks->communicator->all_reduce({&own, 1, dtype::fp32}).wait();
  came_to.value = own;
  zero_ranks_destroy(ranks);
  return came_to;
}

inline forked_outcome meet_as(const zero_rank_spec& spec, float own) {
  zero_ranks* ranks = nullptr;
  zero_message why;
  const zero_status status = zero_ranks_explicit(&spec, &ranks, &why);
  if (status == ZERO_OK) {
    EXPECT_EQ(zero_ranks_rank(ranks), spec.rank);
    EXPECT_EQ(zero_ranks_size(ranks), spec.size);
  }
  return sum_over(status, ranks, why, own);
}

// As the rank that these variables make of a process; expects to be that rank on its machine.
inline forked_outcome meet_in(const environment& variables, int local_rank, float own) {
  become(variables);
  zero_ranks* ranks = nullptr;
  zero_message why;
  const zero_status status = zero_ranks_environment(&ranks, &why);
  if (status == ZERO_OK) {
    EXPECT_EQ(zero_ranks_local_rank(ranks), local_rank);
  }
  return sum_over(status, ranks, why, own);
}

inline bool says(const forked_outcome& outcome, const std::string& part) {
  return std::string(outcome.why.text).find(part) != std::string::npos;
}

}  // namespace zero::testing
