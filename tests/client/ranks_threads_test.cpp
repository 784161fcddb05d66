// Ranks that are threads of one process, and the questions every handle answers.

#include "ranks_handle.hpp"

#include <zero/ranks.h>

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace {

TEST(thread_ranks, are_one_world) {
  for (const int size : {1, 2, 3, 7}) {
    std::vector<zero_ranks*> ranks(static_cast<std::size_t>(size));
    zero_message why;
    ASSERT_EQ(zero_ranks_threads(size, ranks.data(), &why), ZERO_OK) << why.text;
    EXPECT_STREQ(why.text, "");
    std::vector<float> sums(ranks.size());
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank) {
      const auto at = static_cast<std::size_t>(rank);
      ASSERT_NE(ranks[at], nullptr);
      EXPECT_EQ(zero_ranks_rank(ranks[at]), rank);
      EXPECT_EQ(zero_ranks_size(ranks[at]), size);
      EXPECT_EQ(zero_ranks_local_rank(ranks[at]), rank);
      sums[at] = static_cast<float>(1 << rank);
      threads.emplace_back([&ranks, &sums, at] {
        ranks[at]->communicator->all_reduce({&sums[at], 1, zero::dtype::fp32}).wait();
      });
    }
    for (std::thread& t : threads) t.join();
    for (const float sum : sums) EXPECT_EQ(sum, static_cast<float>((1 << size) - 1));
    for (zero_ranks* one : ranks) zero_ranks_destroy(one);
  }
}

TEST(thread_ranks, refuse_what_cannot_be) {
  zero_message why;
  zero_ranks* one = nullptr;
  for (const int count : {0, -1, 1 << 30}) {
    EXPECT_EQ(zero_ranks_threads(count, &one, &why), ZERO_INVALID);
    EXPECT_NE(std::string(why.text).find(std::to_string(count)), std::string::npos) << why.text;
  }
  EXPECT_EQ(zero_ranks_threads(1, nullptr, &why), ZERO_INVALID);
  EXPECT_EQ(zero_ranks_threads(1, nullptr, nullptr), ZERO_INVALID);
}

TEST(ranks, that_are_null_are_nobody) {
  EXPECT_EQ(zero_ranks_rank(nullptr), 0);
  EXPECT_EQ(zero_ranks_size(nullptr), 0);
  EXPECT_EQ(zero_ranks_local_rank(nullptr), 0);
  zero_ranks_destroy(nullptr);
}

TEST(ranks, stay_while_an_optimizer_uses_them) {
  zero_ranks* one = nullptr;
  ASSERT_EQ(zero_ranks_threads(1, &one, nullptr), ZERO_OK);
  one->in_use = true;
  zero_ranks_destroy(one);
  EXPECT_EQ(zero_ranks_size(one), 1);
  one->in_use = false;
  zero_ranks_destroy(one);
}

}  // namespace
