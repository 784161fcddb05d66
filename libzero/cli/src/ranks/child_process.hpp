#pragma once
// child_process: starts a program so that it cannot outlive its parent.
//
// For a parent with one thread.

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace zero::cli {

struct child_program {
  std::vector<std::string> command;      // argv; the first is searched for in PATH
  std::vector<std::string> environment;  // "NAME=value", all of it
  int input = 0;                         // become its standard input, output and error
  int output = 1;
  int errors = 2;
  std::vector<int> handed_down;  // further descriptors it keeps, under the same numbers
  sigset_t mask{};               // its signal mask
};

// Starts it and returns its process id once the program runs. It has no descriptors but those
// named, and is killed (SIGKILL) when the calling thread ends, however it ends. Throws
// invalid_argument naming the program if it cannot be run, io_error if there are no processes or
// descriptors left.
[[nodiscard]] pid_t start(const child_program& program);

// The processes whose parent this process is now, adopted ones included.
[[nodiscard]] std::vector<pid_t> children_of_this_process();

}  // namespace zero::cli
