#pragma once
// byte_progress: how much of a lot of bytes is done, for whoever waits for it: one line that is
// written over on a terminal, with rate and time left; else a plain line every ten seconds. One
// thread.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace zero::cli {

class byte_progress {
 public:
  using clock = std::chrono::steady_clock;

  // `what` is done to them: "verifying step-000000000042".
  byte_progress(std::string what, std::FILE* to);
  byte_progress(const byte_progress&) = delete;
  byte_progress& operator=(const byte_progress&) = delete;
  // Leaves an empty line on a terminal.
  ~byte_progress();

  void show(std::uint64_t done, std::uint64_t of, clock::time_point now = clock::now());

 private:
  std::string what_;
  std::FILE* to_;
  bool is_terminal_;
  clock::time_point begun_;
  clock::time_point shown_;
};

}  // namespace zero::cli
