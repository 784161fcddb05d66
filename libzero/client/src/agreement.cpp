#include "agreement.hpp"

#include <zero/base/error.hpp>
#include <zero/base/majority.hpp>

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

  const auto [reference, others] = majority_of(all);
  if (others.empty()) return;
  throw desync("[client] rank " + format_ranks(others) + " differs from rank " +
                   std::to_string(reference) + ": " +
                   all[static_cast<std::size_t>(others.front())].data() + " there, " +
                   all[static_cast<std::size_t>(reference)].data() + " here",
               others);
}

}  // namespace zero::client
