#include "ranks/rank_failure.hpp"

#include <zero/base/error.hpp>

#include <fmt/format.h>

#include <cstring>

namespace zero::cli {

std::string rank_failure::describe() const {
  if (!why.empty()) return why;
  if (signal != 0) {
    return fmt::format("rank {} was killed by signal {} ({})", rank, signal, strsignal(signal));
  }
  return fmt::format("rank {} ended with exit code {}", rank, exit_code);
}

bool gives_way(const rank_failure& first, const rank_failure& other) noexcept {
  constexpr int peer_lost = static_cast<int>(error_class::peer_lost);
  return first.signal == 0 && first.why.empty() && first.exit_code == peer_lost &&
         (other.signal != 0 || other.exit_code != peer_lost);
}

}  // namespace zero::cli
