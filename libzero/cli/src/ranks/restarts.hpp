#pragma once
// restarts: a fallen job started again, a limited number of times, each life only after all
// processes of the one before have ended.
//
// For a process with one thread.

#include "ranks/signal_watch.hpp"

#include <functional>
#include <string>

namespace zero::cli {

// How one life of a job ended.
struct life {
  int exit_code = 0;
  std::string why;  // it failed, one line; may be empty if it did not
  bool interrupted = false;
  bool complete = false;  // did all it was to do, whatever it exits with
  bool all_ended = true;  // none of its processes is left
};

// What another life may mend: not success, not wrong usage (exit code 2), not an interruption.
[[nodiscard]] bool may_start_again(const life& ended) noexcept;

// Runs `live(k)`, k = 0, 1, ..., until one life need not or must not be followed by another, at
// most `restarts` + 1 times, and returns the last. Says on standard error, with `name` in front,
// why each other one ended. A signal that arrives between two lives ends the job. Throws what
// `live` throws.
[[nodiscard]] life run_lives(const std::string& name, int restarts, signal_watch& signals,
                             const std::function<life(int restart)>& live);

// The number of this life, from 0: ZERO_RESTART in the environment, as whoever starts lives sets
// it. Throws invalid_argument if it is no number.
inline constexpr const char* restart_variable = "ZERO_RESTART";
[[nodiscard]] int restart_from_environment();

}  // namespace zero::cli
