#include "agreement.hpp"

#include <zero/base/error.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace zero::client {
namespace {

using record = std::array<char, 256>;

}  // namespace

void agree(collectives::communicator& ranks, value_staging& staging, const std::string& what) {
  if (ranks.size() == 1) return;
  record own{};
  std::memcpy(own.data(), what.data(), std::min(what.size(), own.size() - 1));
  std::vector<record> all(static_cast<std::size_t>(ranks.size()));
  staging.all_gather(ranks, own.data(), all.data(), own.size(), "agreement");

  // The majority is what most ranks do; of equals, what the lowest rank does.
  std::size_t reference = 0;
  std::ptrdiff_t most = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto votes = std::count(all.begin(), all.end(), all[i]);
    if (votes > most) {
      most = votes;
      reference = i;
    }
  }
  std::vector<int> others;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] != all[reference]) others.push_back(static_cast<int>(i));
  }
  if (others.empty()) return;
  throw desync("[client] rank " + format_ranks(others) + " differs from rank " +
                   std::to_string(reference) + ": " +
                   all[static_cast<std::size_t>(others.front())].data() + " there, " +
                   all[reference].data() + " here",
               others);
}

}  // namespace zero::client
