#include "config_names.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace zero::client {
namespace {

std::string_view last_part(std::string_view path) { return path.substr(path.rfind('.') + 1); }

}  // namespace

std::size_t edits_between(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string nearest_of(const std::string& name, const std::vector<std::string>& known) {
  const auto cost = [&](const std::string& other) {
    return std::pair(edits_between(last_part(name), last_part(other)), edits_between(name, other));
  };
  const auto found = std::min_element(
      known.begin(), known.end(),
      [&](const std::string& a, const std::string& b) { return cost(a) < cost(b); });
  return found == known.end() ? std::string() : *found;
}

}  // namespace zero::client
