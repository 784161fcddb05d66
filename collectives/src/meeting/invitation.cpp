#include "meeting/invitation.hpp"

#include <zero/base/hash.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace zero::collectives {

reply refusal(error_class kind, const std::vector<int>& ranks, const std::string& text) noexcept {
  reply made;
  made.refusal = static_cast<std::int32_t>(kind);
  const std::size_t count = std::min(ranks.size(), made.ranks.size());
  made.count = static_cast<std::int32_t>(count);
  std::copy_n(ranks.begin(), count, made.ranks.begin());
  std::copy_n(text.begin(), std::min(text.size(), made.text.size() - 1), made.text.begin());
  return made;
}

void throw_refusal(const reply& answer) {
  const auto count =
      std::clamp<std::int32_t>(answer.count, 0, static_cast<std::int32_t>(answer.ranks.size()));
  const std::vector<int> ranks(answer.ranks.begin(), answer.ranks.begin() + count);
  const std::string text(answer.text.data());
  switch (static_cast<error_class>(answer.refusal)) {
    case error_class::peer_lost:
      throw peer_lost(text, ranks);
    case error_class::desync:
      throw desync(text, ranks);
    default:
      throw invalid_argument(text);
  }
}

std::string title_of(const meeting& where) { return "the meeting '" + where.name + "'"; }

std::string address_of(const meeting& where) {
  hash128 hash;
  hash.update(where.name);
  return "libzero-" + std::to_string(geteuid()) + "-" + to_hex(hash.digest());
}

std::chrono::milliseconds patience_of(std::int64_t milliseconds) noexcept {
  constexpr std::int64_t year = 1000LL * 3600 * 24 * 365;
  return std::chrono::milliseconds(std::clamp<std::int64_t>(milliseconds, 0, year));
}

std::string seconds_of(std::int64_t milliseconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g s", static_cast<double>(milliseconds) / 1000);
  return text.data();
}

}  // namespace zero::collectives
