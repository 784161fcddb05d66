#pragma once
// launched: who this process is, from the environment variables of whoever started it.
//
//   RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE    torchrun, zero launch, zero train --ranks
//   OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE    Open MPI's mpirun
//   PMI_RANK, PMI_SIZE, MPI_LOCALRANKID, MPI_LOCALNRANKS    MPICH and its kin
//   SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_TASKS_PER_NODE    srun
//
// All that are there are read, and must agree. Slurm sets part of its variables in batch scripts
// and interactive allocations too, where nobody started ranks: SLURM_PROCID is 0 there and there is
// no step of several tasks. So Slurm counts only for a task of a step of more than one task; a task
// alone is a process like any other.
//
// The run has a name of its own, by which its ranks find each other (meeting.hpp). It is
// ZERO_MEETING where that is set; else all of these that are: MASTER_ADDR, MASTER_PORT,
// TORCHELASTIC_RUN_ID, TORCHELASTIC_RESTART_COUNT, OMPI_MCA_ess_base_jobid, PMIX_NAMESPACE,
// SLURM_JOB_ID, SLURM_STEP_ID.
//
// Pure but for reading the environment through `variables`.

#include <zero/base/rank.hpp>

#include <functional>
#include <optional>
#include <string>

#pragma GCC visibility push(default)
namespace zero::collectives {

// The value of a variable, or nothing where it is not set.
using variables = std::function<std::optional<std::string>(const std::string& name)>;

[[nodiscard]] std::optional<std::string> process_variable(const std::string& name);

struct rank_identity {
  world who;
  int local_rank = 0;  // on this machine
  int local_size = 1;
  std::optional<int> ranks_of_host;  // local_size where the launcher says it
  int arena = -1;       // descriptor of the shared arena handed down by zero's launcher; -1: none
  std::string source;   // "RANK and WORLD_SIZE": where it was read
  std::string run;      // the run's own name; empty where no variable says it
  bool by_mpi = false;  // a launcher that starts programs of MPI set variables, too

  [[nodiscard]] bool spans_machines() const noexcept {
    return ranks_of_host && *ranks_of_host < who.size;
  }
};

// Nothing if no launcher left its variables. Throws invalid_argument if a variable is no number,
// comes without its partner or out of range, or if two launchers' variables disagree: names both.
[[nodiscard]] std::optional<rank_identity> rank_from_environment(
    const variables& environment = process_variable);

}  // namespace zero::collectives
#pragma GCC visibility pop
