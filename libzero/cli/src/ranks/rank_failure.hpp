#pragma once
// rank_failure: how one rank of a run ended, and which of several failures is told. Values.

#include <string>

namespace zero::cli {

// How a rank ended, other than with exit code 0.
struct rank_failure {
  int rank = 0;
  int exit_code = 0;
  int signal = 0;   // that killed it; 0: none did
  std::string why;  // it is lost, in words, where the starter found that; else empty
  // `why`, "rank 2 was killed by signal 9 (Killed)", "rank 2 ended with exit code 5".
  [[nodiscard]] std::string describe() const;
};

// Of two failures the one to be told: whether `first` gives way to `other`. An exit code of 3 says
// that somebody else was first.
[[nodiscard]] bool gives_way(const rank_failure& first, const rank_failure& other) noexcept;

}  // namespace zero::cli
