#pragma once
// majority: which ranks say otherwise than most do. Pure.

#include <algorithm>
#include <cstddef>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

struct majority {
  int of_rank = 0;          // who says what most say; of as many, what the lowest rank says
  std::vector<int> others;  // who says anything else; ascending
};

// `all` by rank, at least one. Quadratic in their number.
template <typename T>
[[nodiscard]] majority majority_of(const std::vector<T>& all) {
  majority found;
  std::ptrdiff_t most = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto votes = std::count(all.begin(), all.end(), all[i]);
    if (votes <= most) continue;
    most = votes;
    found.of_rank = static_cast<int>(i);
  }
  const T& said = all[static_cast<std::size_t>(found.of_rank)];
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!(all[i] == said)) found.others.push_back(static_cast<int>(i));
  }
  return found;
}

}  // namespace zero
#pragma GCC visibility pop
