#pragma once
// One rank that differs: what every rank of a world is told.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/base/hash.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace zero::testing {

struct told {
  bool is_desync = false;
  std::string text;
  std::vector<int> culprits;
  double seconds = 0;
  digest128 before{}, after{};
};

// All were told one thing, that blames `culprit` and says `word`.
inline void expect_one_story(const std::vector<told>& all, int culprit, const std::string& word) {
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    SCOPED_TRACE("rank " + std::to_string(rank));
    EXPECT_TRUE(all[rank].is_desync) << all[rank].text;
    EXPECT_EQ(all[rank].text, all[0].text);
    EXPECT_EQ(all[rank].culprits, std::vector<int>{culprit}) << all[rank].text;
    EXPECT_NE(all[rank].text.find(word), std::string::npos) << all[rank].text;
    EXPECT_LT(all[rank].seconds, 5);
    EXPECT_EQ(all[rank].before, all[rank].after);
  }
}

template <typename Body>
std::vector<told> tell(int size, const Body& body) {
  std::vector<told> all(static_cast<std::size_t>(size));
  const auto errors = try_ranks(size, [&](collectives::communicator& ranks) {
    told& mine = all[static_cast<std::size_t>(ranks.rank())];
    ranks.set_deadline(std::chrono::seconds(20));
    const auto begin = std::chrono::steady_clock::now();
    try {
      body(ranks, mine);
      mine.text = "nothing was thrown";
    } catch (const desync& e) {
      mine.is_desync = true;
      mine.text = e.what();
      mine.culprits = e.ranks;
    } catch (const std::exception& e) {
      mine.text = e.what();
    }
    mine.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!mine.is_desync) throw error("rank " + std::to_string(ranks.rank()) + ": " + mine.text);
  });
  return all;
}

struct seat {
  int size;
  int odd;      // who differs
  int culprit;  // who is named
};
inline constexpr seat seats[] = {{2, 0, 1}, {2, 1, 1}, {4, 0, 0}, {4, 3, 3}};

inline engine_options plain(const char* policy = "2") {
  engine_options o;
  o.groups.resize(2);
  o.accumulate = 2;
  o.policy = partition::policy_of_name(policy, 1);
  return o;
}

}  // namespace zero::testing
