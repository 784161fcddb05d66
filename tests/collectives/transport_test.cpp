// What goes beyond the contract over a client's functions: many chunks, groups at different work,
// and everything that can go wrong.
#include "collectives/rank_means.hpp"

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

namespace zero::testing {
namespace {

using collectives::communicator;
using collectives::write_mode;

typed_span of(std::vector<float>& elements) {
  return {elements.data(), elements.size(), dtype::fp32};
}

struct seen {
  std::string text;
  std::vector<int> ranks;
  error_class kind = error_class::failure;
};

seen what_is(const std::exception_ptr& error) {
  if (!error) return {"nothing was thrown", {}, error_class::failure};
  try {
    std::rethrow_exception(error);
  } catch (const peer_lost& e) {
    return {e.what(), e.ranks, e.kind()};
  } catch (const desync& e) {
    return {e.what(), e.ranks, e.kind()};
  } catch (const std::exception& e) {
    return {e.what(), {}, error_class::failure};
  }
}

void expect(const std::exception_ptr& error, error_class kind, const std::vector<int>& ranks,
            const std::string& part) {
  const seen found = what_is(error);
  EXPECT_EQ(found.kind, kind) << found.text;
  EXPECT_EQ(found.ranks, ranks) << found.text;
  EXPECT_NE(found.text.find(part), std::string::npos) << found.text;
}

std::vector<std::exception_ptr> errors_of(int size,
                                          const std::function<void(communicator&)>& body) {
  return try_transport(std::make_shared<thread_transport>(size), size, true, body);
}

// Far smaller and larger than each other, so that every order of a sum has bits of its own.
float term(int rank, std::size_t i) {
  const float terms[] = {16777216.0f, 1.0f, -16777216.0f, 0.5f, 3.0f, -1.0f, 1.0f / 3};
  return terms[(static_cast<std::size_t>(rank) + i) % 7] * (1.0f + static_cast<float>(i % 5));
}

// ---- many chunks ------------------------------------------------------------------------------

TEST(transport, sums_pieces_of_several_chunks_in_the_order_of_ranks) {
  const std::size_t count = 300'007;  // more than one MiB of fp32
  for (const int size : {2, 3}) {
    run_transport(size, true, [&](communicator& ranks) {
      const auto n = static_cast<std::size_t>(size);
      const auto first = static_cast<std::size_t>(ranks.rank()) * count;
      std::vector<float> full(n * count);
      for (std::size_t i = 0; i < full.size(); ++i) full[i] = term(ranks.rank(), i);
      const auto total = [&](std::size_t i) {
        float sum = term(0, i);
        for (int r = 1; r < size; ++r) sum += term(r, i);
        return sum;
      };
      std::vector<float> shard(count, 0.25f);
      ranks.reduce_scatter(of(full), of(shard), write_mode::accumulate).wait();
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < count; ++i) wrong += shard[i] != 0.25f + total(first + i);
      EXPECT_EQ(wrong, 0u);
      ranks.all_reduce(of(full)).wait();
      for (std::size_t i = 0; i < full.size(); ++i) wrong += full[i] != total(i);
      EXPECT_EQ(wrong, 0u);
      // In place, and rounded to 16 bits once.
      std::vector<bf16_t> small(n * count);
      for (std::size_t i = 0; i < small.size(); ++i) small[i] = to_bf16(term(ranks.rank(), i));
      const typed_span all{small.data(), small.size(), dtype::bf16};
      ranks.reduce_scatter(all, all.part(first, count)).wait();
      for (std::size_t i = first; i < first + count; ++i) {
        float sum = to_float(to_bf16(term(0, i)));
        for (int r = 1; r < size; ++r) sum += to_float(to_bf16(term(r, i)));
        const bf16_t expected = to_bf16(sum);
        wrong += std::memcmp(&small[i], &expected, sizeof expected) != 0;
      }
      EXPECT_EQ(wrong, 0u);
    });
  }
}

TEST(transport, brings_everything_of_several_chunks) {
  const std::size_t count = 700'001;  // of 2 MiB and more
  run_transport(3, false, [&](communicator& ranks) {
    const auto pattern = [](int rank, std::size_t i) {
      return static_cast<float>((static_cast<std::size_t>(rank) * 31 + i) % 1009);
    };
    std::vector<float> own(count);
    std::vector<float> full(3 * count);
    for (std::size_t i = 0; i < count; ++i) own[i] = pattern(ranks.rank(), i);
    ranks.all_gather(of(own), of(full)).wait();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < full.size(); ++i) {
      wrong += full[i] != pattern(static_cast<int>(i / count), i % count);
    }
    EXPECT_EQ(wrong, 0u);
    ranks.broadcast(of(own), 2).wait();
    for (std::size_t i = 0; i < count; ++i) wrong += own[i] != pattern(2, i);
    EXPECT_EQ(wrong, 0u);
  });
}

// ---- groups at different work -----------------------------------------------------------------

// Ranks 0, 2 and 4 do three things of which 1 and 3 know nothing, and those two others of theirs.
TEST(transport, groups_need_not_do_the_same) {
  run_transport(5, true, [](communicator& ranks) {
    const bool is_even = ranks.rank() % 2 == 0;
    const auto group = ranks.split(is_even ? 0 : 1, 0);
    std::vector<float> values(500'000, static_cast<float>(1 + ranks.rank()));
    std::vector<float> small(7, static_cast<float>(ranks.rank()));
    if (is_even) {
      group->all_reduce(of(values)).wait();
      group->broadcast(of(small), 2).wait();
      group->barrier().wait();
      EXPECT_EQ(values.back(), 9);
      EXPECT_EQ(small.back(), 4);
    } else {
      group->all_reduce(of(small)).wait();
      EXPECT_EQ(small.front(), 4);
      EXPECT_EQ(values.back(), static_cast<float>(1 + ranks.rank()));
    }
    ranks.all_reduce(of(small)).wait();
    EXPECT_EQ(small.back(), 3 * 4 + 2 * 4);
  });
}

// ---- what goes wrong --------------------------------------------------------------------------

TEST(transport, names_who_does_something_else_on_every_rank) {
  const auto errors = errors_of(3, [](communicator& ranks) {
    std::vector<float> values(6, 1.0f);
    ranks.all_reduce(of(values)).wait();
    if (ranks.rank() == 1) values.resize(5);
    try {
      ranks.all_reduce(of(values), {{}, "sum", 4}).wait();
    } catch (const desync&) {
      EXPECT_THROW(ranks.barrier(), desync);  // and so forever
      throw;
    }
  });
  for (const auto& error : errors) {
    expect(error, error_class::desync, {1}, "rank 1 about to all_reduce 'sum' of 5 fp32 (tag 4)");
  }
}

TEST(transport, names_who_differs_within_a_group_on_every_rank) {
  const auto errors = errors_of(5, [](communicator& ranks) {
    const auto group = ranks.split(ranks.rank() % 2, 0);
    std::vector<float> values(6, 1.0f);
    if (ranks.rank() == 3) {
      group->barrier().wait();
    } else {
      group->all_reduce(of(values)).wait();
    }
    ranks.barrier().wait();
  });
  for (const auto& error : errors) expect(error, error_class::desync, {3}, "rank 3 about to");
}

TEST(transport, ranks_in_groups_of_which_none_is_complete_are_told) {
  const auto errors = errors_of(4, [](communicator& ranks) {
    const auto pairs = ranks.split(ranks.rank() / 2, 0);  // {0, 1}, {2, 3}
    const auto others = ranks.split(ranks.rank() % 2, 0);
    (ranks.rank() == 0 || ranks.rank() == 3 ? pairs : others)->barrier().wait();
  });
  for (const auto& error : errors) {
    expect(error, error_class::desync, {}, "different groups, none of which is complete");
  }
}

TEST(transport, names_who_left) {
  const auto errors = errors_of(3, [](communicator& ranks) {
    if (ranks.rank() == 2) return;
    ranks.barrier({{}, "late", 9}).wait();
  });
  EXPECT_EQ(errors[2], nullptr);
  for (const std::size_t r : {0, 1}) {
    expect(errors[r], error_class::peer_lost, {2}, "rank 2 left before barrier 'late' (tag 9)");
  }
}

TEST(transport, takes_part_in_the_work_of_others_while_it_leaves) {
  run_transport(3, true, [](communicator& ranks) {
    const auto group = ranks.split(ranks.rank() == 1 ? 1 : 0, 0);
    if (ranks.rank() == 1) return;
    for (int round = 0; round < 5; ++round) {
      std::vector<float> one(1, 1.0f);
      group->all_reduce(of(one)).wait();
      EXPECT_EQ(one.front(), 2);
    }
  });
}

TEST(transport, an_abort_of_another_thread_reaches_every_rank) {
  const auto errors = errors_of(3, [](communicator& ranks) {
    if (ranks.rank() == 1) std::thread([&] { ranks.abort("enough"); }).join();
    ranks.barrier().wait();
  });
  for (const auto& error : errors) {
    expect(error, error_class::peer_lost, {1}, "rank 1 aborted: enough");
  }
}

TEST(transport, an_abort_is_told_by_the_end_of_the_communicator_at_the_latest) {
  const auto errors = errors_of(3, [](communicator& ranks) {
    if (ranks.rank() == 0) {
      ranks.abort("never again");
    } else {
      ranks.barrier().wait();
    }
  });
  EXPECT_EQ(errors[0], nullptr);
  for (const std::size_t r : {1, 2}) expect(errors[r], error_class::peer_lost, {0}, "never again");
}

struct failing_source final : completion_source {
  void wait(std::uint64_t) override { throw corrupt_data("a block", "file"); }
  [[nodiscard]] bool ready(std::uint64_t) const noexcept override { return true; }
};

TEST(transport, work_before_that_fails_is_that_ranks_own_error_and_named_to_others) {
  const auto errors = errors_of(3, [](communicator& ranks) {
    failing_source source;
    const completion before = ranks.rank() == 2 ? completion(source, 0) : completion();
    ranks.barrier({before, "after", 0}).wait();
  });
  EXPECT_THROW(std::rethrow_exception(errors[2]), corrupt_data);
  for (const std::size_t r : {0, 1}) {
    expect(errors[r], error_class::peer_lost, {2}, "rank 2 failed: 'file' at byte 0: a block");
  }
}

// Each call in turn, of each rank: an error of the client's function is this rank's error, and
// nothing is called afterwards.
TEST(transport, a_function_that_fails_poisons) {
  int failures = 0;
  for (int number = 0; number < 12; ++number) {
    for (int rank = 0; rank < 3; ++rank) {
      const auto all = std::make_shared<thread_transport>(3);
      all->fail_at(rank, number);
      std::atomic<int> calls_then = -1;
      const auto errors = try_transport(all, 3, true, [&](communicator& ranks) {
        std::vector<float> values(5, 1.0f);
        try {
          ranks.all_reduce(of(values)).wait();
          ranks.broadcast(of(values), 0).wait();
        } catch (const std::exception&) {
          if (ranks.rank() == rank) calls_then = all->calls(rank);
          EXPECT_THROW(ranks.barrier(), std::runtime_error);
          throw;
        }
      });
      const auto at = static_cast<std::size_t>(rank);
      if (errors[at] == nullptr) continue;  // fewer calls than that, or the farewell
      ++failures;
      EXPECT_NE(what_is(errors[at]).text.find("of the client failed"), std::string::npos);
      if (calls_then >= 0) {
        EXPECT_EQ(all->calls(rank), calls_then);
      }
      for (const auto& error : errors) EXPECT_NE(error, nullptr);
    }
  }
  EXPECT_EQ(failures, 9 * 3);  // 4 to try, 3 of the sum, 2 of the broadcast
}

TEST(transport, that_brings_something_else_is_found_out_at_the_start_by_all) {
  const auto all = std::make_shared<thread_transport>(3);
  all->confuse(1);
  const auto errors =
      try_transport(all, 3, true, [](communicator&) { ADD_FAILURE() << "no error"; });
  expect(errors[1], error_class::desync, {1}, "all_gather brought rank 1 of 3 as piece 0");
  for (const std::size_t r : {0, 2}) {
    expect(errors[r], error_class::desync, {1}, "rank 1 had other bytes than were sent");
  }
}

TEST(transport, a_broadcast_that_only_some_have_is_found_out_at_the_start_by_all) {
  const auto all = std::make_shared<thread_transport>(3);
  std::vector<std::exception_ptr> errors(3);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        static_cast<void>(collectives::make_transport(
            std::make_shared<rank_means>(all, rank, rank != 2), {rank, 3}));
      } catch (...) {
        errors[static_cast<std::size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const std::size_t r : {0, 1}) {
    expect(errors[r], error_class::desync, {static_cast<int>(r)}, "which has no broadcast");
  }
  expect(errors[2], error_class::desync, {2}, "which has a broadcast");
}

TEST(transport, refuses_ranks_that_cannot_be) {
  const auto make = [](world w) {
    const auto all = std::make_shared<thread_transport>(1);
    static_cast<void>(collectives::make_transport(std::make_shared<rank_means>(all, 0, true), w));
  };
  EXPECT_THROW(make({1, 1}), invalid_argument);
  EXPECT_THROW(make({-1, 1}), invalid_argument);
  EXPECT_THROW(make({0, 0}), invalid_argument);
  EXPECT_THROW(static_cast<void>(collectives::make_transport(nullptr, {0, 1})), invalid_argument);
}

}  // namespace
}  // namespace zero::testing
