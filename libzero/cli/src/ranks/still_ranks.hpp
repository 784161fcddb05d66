#pragma once
// still_ranks: ranks that are stopped (SIGSTOP, a debugger) while none goes on. Their starter's own
// watch, beside what ranks find out about each other: for when all of them are stopped, and so
// none can look.
//
// A rank is judged as its peers judge it: it must not have moved for the deadline. A job that is
// merely slow has no rank that is stopped, and time in which the starter itself did not look, being
// stopped by the same Ctrl-Z say, counts for nothing. Pure; one thread.

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace zero::cli {

// A rank's process as it looks now.
struct rank_sight {
  bool running = true;
  bool stopped = false;
  std::optional<std::int64_t> moved;  // when it last did, by any clock; nothing: it has not joined
  std::chrono::milliseconds deadline{30'000};  // its own; 0: nobody waits for it
};

class still_ranks {
 public:
  using clock = std::chrono::steady_clock;

  // To be called at least once a second while a rank is stopped. Those that are stopped once one of
  // them has been so for its deadline and `grace`, while no rank moved; until then none.
  [[nodiscard]] std::vector<int> look(clock::time_point now, const std::vector<rank_sight>& ranks);
  // How long the longest of them has been seen to be still.
  [[nodiscard]] std::chrono::milliseconds longest() const noexcept;

  // What peers have for naming it first.
  static constexpr std::chrono::milliseconds grace{2000};

 private:
  [[nodiscard]] bool any_moved(const std::vector<rank_sight>& ranks);

  std::optional<clock::time_point> looked_;
  std::vector<std::optional<std::int64_t>> moved_;  // when last looked at
  std::vector<clock::duration> still_;              // for how long, by rank
};

}  // namespace zero::cli
