#pragma once
// rank_processes: N copies of a program as ranks of one shared-memory world, watched to their end.
//
// Whatever happens to this process or to a rank, no rank stays behind: ranks are killed by the
// kernel when this process ends, and within 3 s of the first failure or interruption otherwise.
// For a process with one thread.

#include "rank_failure.hpp"
#include "signal_watch.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zero::cli {

enum class output_of_ranks : unsigned char {
  passed_through,  // ranks write to our standard output and error themselves
  prefixed,        // line by line, with "[rank] " in front
};

struct ranks_program {
  std::vector<std::string> command;  // argv; the first is searched for in PATH
  int ranks = 1;
  int restart = 0;  // which life of its job this is, for ZERO_RESTART
  output_of_ranks output = output_of_ranks::passed_through;
  // Of ranks that have not joined their world yet; 0: they may be programs that never do, and are
  // not watched.
  std::chrono::milliseconds deadline{0};
  // If given, each rank is handed a descriptor in ZERO_RESULT_FD, and every line it writes there
  // comes here. By one of them a rank may say that it failed: then its exit code is returned.
  std::function<std::optional<int>(int rank, std::string_view line)> on_result;
};

struct ranks_outcome {
  // The first to fail; a rank that failed because of a peer (exit code 3) only where within a
  // second none failed by itself, and none said that it did. A rank that is stopped while none
  // moves for its deadline and 2 s is lost (still_ranks), and so is one that ended without an error
  // before it joined the others.
  std::optional<rank_failure> failure;
  int interrupted_by = 0;  // SIGINT, SIGTERM or SIGHUP, if that ended the run
  bool all_ended = true;   // false: something it started could not be killed
  std::string left;        // then, where ranks are among it: "; rank 1 (process 4711) ...", else ""
};

// Starts the ranks with RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, ZERO_RESTART and
// ZERO_ARENA_FD set, and
// OMP_NUM_THREADS and OPENBLAS_NUM_THREADS to the rank's share of the cores where the user has not
// set them. Rank 0 has our standard input, the others none. Blocks until all have ended. When one
// fails, the others' collectives are told at once; they get SIGTERM after 1 s, SIGKILL after 3 s.
// A rank that said it failed has 3 s more to end by itself; within 9 s of that this returns, even
// if ranks cannot be ended because a call of theirs to a disk does not return. An interruption is
// passed on as SIGTERM at once, and SIGKILL after 3 s or when it is repeated. Throws
// invalid_argument if the program cannot be run, io_error, out_of_memory.
[[nodiscard]] ranks_outcome run_ranks(const ranks_program& program, signal_watch& signals);

}  // namespace zero::cli
