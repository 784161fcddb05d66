#pragma once
// progress: how far a run is, for whoever waits for it.
//
// On a terminal one line that is written over, with rate and time left; else a plain line at the
// first step and every ten seconds. One thread.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace zero::cli {

class progress {
 public:
  using clock = std::chrono::steady_clock;

  // `what` names the run: "stage 2". `to` is written to as a terminal if it is one.
  progress(std::string what, std::uint64_t steps, std::FILE* to);
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  // Leaves an empty line on a terminal.
  ~progress();

  // Step `step`, from 1, is done: the first that is shown, or one after it.
  void show(std::uint64_t step, double loss, clock::time_point now = clock::now());

 private:
  std::string what_;
  std::uint64_t steps_;
  std::FILE* to_;
  bool is_terminal_;
  std::uint64_t first_step_ = 0;  // that was shown; 0: none
  clock::time_point first_;       // when it was done; the start-up before it is no rate
  clock::time_point shown_;
};

// How long what is shown of anything that goes on stays as it is.
[[nodiscard]] std::chrono::milliseconds between_shown(bool is_terminal) noexcept;

// "12 s", "3 min 5 s", "2 h 10 min".
[[nodiscard]] std::string format_duration(double seconds);

}  // namespace zero::cli
