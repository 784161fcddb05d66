#pragma once
// One error that every rank of a world must be told in the same words.

#include "support/run_ranks.hpp"

#include <zero/base/typed_span.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <exception>
#include <string>
#include <vector>

namespace zero::testing {

// Elements of the communicator's memory, which goes with it.
inline typed_span block(collectives::communicator& ranks, std::size_t count,
                        dtype type = dtype::fp32) {
  return {ranks.memory().allocate(count * size_of(type)), count, type};
}

// Runs the body on every rank and expects Error with these culprits, the same text everywhere.
template <typename Error>
void expect_everywhere(int size, const std::vector<int>& culprits,
                       const std::vector<std::string>& words, const rank_body& body) {
  const auto errors = try_ranks(size, body);
  std::string first;
  for (int rank = 0; rank < size; ++rank) {
    SCOPED_TRACE("rank " + std::to_string(rank));
    ASSERT_TRUE(errors[static_cast<std::size_t>(rank)]);
    try {
      std::rethrow_exception(errors[static_cast<std::size_t>(rank)]);
    } catch (const Error& found) {
      EXPECT_EQ(found.ranks, culprits) << found.what();
      const std::string text = found.what();
      for (const std::string& word : words) EXPECT_NE(text.find(word), std::string::npos) << text;
      if (first.empty()) first = text;
      EXPECT_EQ(text, first);
    } catch (const std::exception& other) {
      ADD_FAILURE() << "another error: " << other.what();
    }
  }
}

}  // namespace zero::testing
