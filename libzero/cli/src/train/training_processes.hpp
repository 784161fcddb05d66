#pragma once
// training_processes: `zero train` on N rank processes, with what rank 0 tells about it.
//
// For a process with one thread.

#include "option_set.hpp"
#include "ranks/signal_watch.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <functional>
#include <string>

namespace zero::cli {

using json = nlohmann::ordered_json;

// A line of rank 0's: schema zero.step/1 or zero.run/1.
using line_function = std::function<void(const json& line)>;

struct training_outcome {
  int exit_code = 0;    // as the contract has it: 3 for a rank that was killed, 128 + signal for
                        // an interruption, else that of the rank that failed first
  std::string message;  // one line, unless exit_code is 0
  bool interrupted = false;
  bool all_ended = true;  // false: a process of it could not be killed; `message` says which
};

// What is to run: a program with its arguments.
struct training_life {
  std::string program;
  arguments given;
  int ranks = 1;                               // processes
  int restart = 0;                             // which life of its job it is
  std::chrono::milliseconds deadline{30'000};  // as its ranks have it
};

// Runs it and blocks until all have ended.
// Throws like run_ranks, and failure if a rank talks nonsense.
[[nodiscard]] training_outcome run_training_processes(const training_life& what,
                                                      const line_function& on_line,
                                                      signal_watch& signals);

// The file of the program that runs now.
[[nodiscard]] std::string this_program();

}  // namespace zero::cli
