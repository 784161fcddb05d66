#pragma once
// interruption: SIGINT, SIGTERM and SIGHUP put off for as long as something would be left behind.
//
// While one lives the signals only set a flag; at its end they take their ordinary effect. One per
// process at a time. Whoever works meanwhile asks arrived() often.

#include <signal.h>

#include <array>

namespace zero::cli {

class interruption {
 public:
  interruption() noexcept;
  interruption(const interruption&) = delete;
  interruption& operator=(const interruption&) = delete;
  ~interruption();

  [[nodiscard]] static bool arrived() noexcept;

 private:
  static constexpr std::array<int, 3> signals_{SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, 3> before_{};
};

}  // namespace zero::cli
