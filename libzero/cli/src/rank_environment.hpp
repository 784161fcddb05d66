#pragma once
// rank_environment: who this process is, from the environment variables of whoever started it.
//
//   RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE    torchrun, zero launch, zero train --ranks
//   OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE    Open MPI's mpirun
//   PMI_RANK, PMI_SIZE                                MPICH and its kin
//   SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID srun
//
// Slurm sets part of its variables in batch scripts and interactive allocations too, where nobody
// started ranks: SLURM_PROCID is 0 there and there is no step of several tasks. So Slurm counts
// only for a task of a step of more than one task; a task alone is a process like any other.
//
// Pure but for reading the environment through `variables`.

#include <zero/base/rank.hpp>

#include <functional>
#include <optional>
#include <string>

namespace zero::cli {

// The value of a variable, or nothing where it is not set.
using variables = std::function<std::optional<std::string>(const std::string& name)>;

[[nodiscard]] std::optional<std::string> process_variable(const std::string& name);

struct rank_identity {
  world who;
  int local_rank = 0;  // on this machine
  int local_size = 1;
  std::optional<int> ranks_of_host;  // local_size where the launcher says it
  int arena = -1;      // descriptor of the shared arena handed down by the launcher; -1: none
  std::string source;  // "RANK and WORLD_SIZE": where it was read
};

// Nothing if no launcher left its variables. Throws invalid_argument if a variable is no number,
// comes without its partner or out of range, or if two launchers' variables disagree.
[[nodiscard]] std::optional<rank_identity> rank_from_environment(
    const variables& environment = process_variable);

// Throws invalid_argument unless `identity` can talk to its peers: one rank, an arena from our own
// launcher, or, for ranks of other launchers, MPI.
void require_reachable_peers(const rank_identity& identity, bool with_mpi);

// Throws invalid_argument if a launcher has already started ranks: `command` starts its own.
void require_no_launcher(const std::string& command,
                         const variables& environment = process_variable);

}  // namespace zero::cli
