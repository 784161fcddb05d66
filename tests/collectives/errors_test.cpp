// What ranks are told when one of them goes missing or fails.
#include "support/expect_everywhere.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <future>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using collectives::communicator;
using namespace std::chrono_literals;

TEST(deadline, names_the_rank_that_does_not_come) {
  for (const int size : {2, 4}) {
    std::promise<void> over;
    const std::shared_future<void> all_threw(over.get_future());
    std::atomic<int> thrown{0};
    const auto errors = try_ranks(size, [&](communicator& ranks) {
      ranks.set_deadline(200ms);
      if (ranks.rank() == 1) return all_threw.wait();  // busy with something else
      const auto begin = std::chrono::steady_clock::now();
      try {
        ranks.barrier({{}, "late", 9}).wait();
      } catch (...) {
        EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
        if (++thrown == size - 1) over.set_value();
        throw;
      }
      ADD_FAILURE() << "no error";
      over.set_value();
    });
    for (int rank = 0; rank < size; ++rank) {
      const auto& error = errors[static_cast<std::size_t>(rank)];
      if (rank == 1) {
        EXPECT_FALSE(error);
        continue;
      }
      try {
        ASSERT_TRUE(error);
        std::rethrow_exception(error);
      } catch (const peer_lost& lost) {
        EXPECT_EQ(lost.ranks, std::vector<int>{1});
        EXPECT_NE(std::string(lost.what()).find("for rank 1 to begin operation 0, barrier 'late'"),
                  std::string::npos)
            << lost.what();
      }
    }
  }
}

TEST(deadline, a_late_rank_learns_that_it_was_given_up) {
  std::promise<void> over;
  const std::shared_future<void> given_up(over.get_future());
  expect_everywhere<peer_lost>(2, {1}, {"to begin operation 0"}, [&](communicator& ranks) {
    ranks.set_deadline(100ms);
    if (ranks.rank() == 1) given_up.wait();
    try {
      ranks.barrier().wait();
    } catch (...) {
      if (ranks.rank() == 0) over.set_value();
      throw;
    }
  });
}

// A source that becomes ready, or fails, when told.
class manual_source final : public completion_source {
 public:
  void wait(std::uint64_t) override { result_.get(); }
  [[nodiscard]] bool ready(std::uint64_t) const noexcept override {
    return result_.wait_for(0s) == std::future_status::ready;
  }
  void done() { promise_.set_value(); }
  void fail(const std::string& why) {
    promise_.set_exception(std::make_exception_ptr(io_error("reading", why, EIO)));
  }

 private:
  std::promise<void> promise_;
  std::shared_future<void> result_{promise_.get_future()};
};

TEST(deadline, names_the_rank_whose_earlier_work_is_not_done) {
  manual_source never;
  const auto errors = try_ranks(3, [&](communicator& ranks) {
    ranks.set_deadline(150ms);
    const auto after = ranks.rank() == 2 ? completion(never, 0) : completion();
    const completion done = ranks.barrier({after, "held", 0});
    try {
      done.wait();
    } catch (...) {
      if (ranks.rank() == 2) never.done();  // or the lane would wait for it
      throw;
    }
  });
  for (const auto& error : errors) {
    try {
      ASSERT_TRUE(error);
      std::rethrow_exception(error);
    } catch (const peer_lost& lost) {
      EXPECT_EQ(lost.ranks, std::vector<int>{2}) << lost.what();
    }
  }
}

TEST(after, is_waited_for_by_the_lane) {
  manual_source sources[3];
  run_ranks(3, [&](communicator& ranks) {
    manual_source& mine = sources[ranks.rank()];
    const typed_span value = block(ranks, 1);
    const completion done = ranks.all_reduce(value, {{completion(mine, 0)}, "", 0});
    const completion next = ranks.all_reduce(value);
    EXPECT_FALSE(done.ready());
    EXPECT_FALSE(next.ready());
    *static_cast<float*>(value.data) = 2;  // still ours
    mine.done();
    next.wait();
    EXPECT_EQ(*static_cast<float*>(value.data), 18);
  });
}

TEST(after, that_fails_is_thrown_as_it_is_and_poisons_the_peers) {
  for (const bool at_once : {true, false}) {
    manual_source source;
    if (at_once) source.fail("some file");
    const auto errors = try_ranks(3, [&](communicator& ranks) {
      const auto after = ranks.rank() == 1 ? completion(source, 0) : completion();
      const completion done = ranks.barrier({after, "", 0});
      if (ranks.rank() == 1 && !at_once) source.fail("some file");
      done.wait();
    });
    for (std::size_t rank = 0; rank < 3; ++rank) {
      ASSERT_TRUE(errors[rank]);
      try {
        std::rethrow_exception(errors[rank]);
      } catch (const io_error& own) {
        EXPECT_EQ(rank, 1u);
        EXPECT_EQ(own.path, "some file");
      } catch (const peer_lost& lost) {
        EXPECT_NE(rank, 1u);
        EXPECT_EQ(lost.ranks, std::vector<int>{1});
        EXPECT_NE(std::string(lost.what()).find("some file"), std::string::npos) << lost.what();
      }
    }
  }
}

TEST(leaving, with_peers_waiting_is_told_by_name) {
  auto world = collectives::shared_memory_world::create(3, 1 << 20);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank, ranks = world.join(rank)]() mutable {
      const completion done = ranks->barrier();
      if (rank == 1) {
        done.wait();
        return ranks.reset();
      }
      try {
        ranks->barrier({{}, "after", 0}).wait();
        ADD_FAILURE() << "no error";
      } catch (const peer_lost& lost) {
        EXPECT_EQ(lost.ranks, std::vector<int>{1});
        EXPECT_NE(std::string(lost.what()).find("rank 1 left before operation 1, barrier 'after'"),
                  std::string::npos)
            << lost.what();
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

TEST(leaving, with_work_outstanding_poisons) {
  auto world = collectives::shared_memory_world::create(2, 1 << 20);
  auto first = world.join(0);
  auto second = world.join(1);
  first->barrier();
  first.reset();  // does not hang
  try {
    second->barrier().wait();
    ADD_FAILURE() << "no error";
  } catch (const peer_lost& lost) {
    EXPECT_EQ(lost.ranks, std::vector<int>{0});
    EXPECT_NE(std::string(lost.what()).find("outstanding"), std::string::npos) << lost.what();
  }
}

TEST(leaving, in_order_is_no_error) {
  for (int round = 0; round < 50; ++round) {
    auto world = collectives::shared_memory_world::create(4, 1 << 20);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 4; ++rank) {
      threads.emplace_back([ranks = world.join(rank)]() mutable {
        const auto group = ranks->split(0, 0);
        group->barrier().wait();
        ranks->barrier().wait();
      });
    }
    for (std::thread& t : threads) t.join();
  }
}

TEST(freeing, memory_in_use_is_told_before_it_is_gone) {
  std::promise<void> over;
  const std::shared_future<void> freed(over.get_future());
  expect_everywhere<peer_lost>(2, {0}, {"rank 0 freed memory of operation 0, all_reduce"},
                               [&](communicator& ranks) {
                                 const typed_span value = block(ranks, 1000);
                                 if (ranks.rank() == 1) {
                                   freed.wait();
                                 } else {
                                   ranks.all_reduce(value);
                                   ranks.memory().deallocate(value.data, value.bytes());
                                   over.set_value();
                                 }
                                 ranks.barrier().wait();
                               });
}

TEST(throwing, means_the_memory_is_free_again) {
  // Poisoned in the middle of large operations; what a wait gave back is not written any more, not
  // even by the time the lane has ended.
  for (int round = 0; round < 10; ++round) {
    auto world = collectives::shared_memory_world::create(2, std::uint64_t{64} << 20);
    std::vector<std::thread> threads;
    std::atomic<int> begun{0};
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([&, ranks = world.join(rank)]() mutable {
        std::vector<float> out(std::size_t{8} << 20, 1);
        const typed_span shard = block(*ranks, out.size() / 2);
        try {
          ranks->barrier().wait();
          while (true) {
            const completion done = ranks->all_gather(shard, {out.data(), out.size(), dtype::fp32});
            ++begun;
            done.wait();
          }
        } catch (const peer_lost&) {
          std::fill(out.end() - 100000, out.end(), 7.0f);
          ranks.reset();
          EXPECT_EQ(std::count(out.end() - 100000, out.end(), 7.0f), 100000);
        }
      });
    }
    while (begun < 2) std::this_thread::yield();
    std::this_thread::sleep_for(round * 500us);  // anywhere in an operation
    world.report_lost(1, "test");
    for (std::thread& t : threads) t.join();
  }
}

TEST(report_lost, reaches_every_rank_and_every_group) {
  auto world = collectives::shared_memory_world::create(4, 1 << 20);
  std::promise<void> over;
  const std::shared_future<void> reported(over.get_future());
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 4; ++rank) {
    threads.emplace_back([&, rank, ranks = world.join(rank)]() mutable {
      try {
        const auto pair = ranks->split(rank / 2, rank);
        if (rank == 3) reported.wait();
        // Ranks 0 and 1 wait in a group without rank 3, and go on for ever; rank 2 waits for it.
        while (true) (rank < 2 ? pair : ranks)->barrier().wait();
      } catch (const peer_lost& lost) {
        EXPECT_EQ(lost.ranks, std::vector<int>{3}) << lost.what();
        EXPECT_NE(std::string(lost.what()).find("signal 9"), std::string::npos) << lost.what();
      }
    });
  }
  world.report_lost(3, "killed by signal 9");
  world.report_lost(2, "too late to be first");
  over.set_value();
  for (std::thread& t : threads) t.join();
}

TEST(poison, of_a_group_leaves_the_world_as_it_is) {
  run_ranks(4, [](communicator& ranks) {
    const auto pair = ranks.split(ranks.rank() / 2, 0);
    if (ranks.rank() < 2) {
      if (ranks.rank() == 1) pair->abort("only us");
      EXPECT_THROW(pair->barrier().wait(), peer_lost);
    } else {
      pair->barrier().wait();
    }
    ranks.barrier().wait();
  });
}

TEST(split, refuses_to_run_with_work_outstanding) {
  auto world = collectives::shared_memory_world::create(2, 1 << 20);
  auto first = world.join(0);
  auto second = world.join(1);
  const completion one = first->barrier();
  EXPECT_THROW(static_cast<void>(first->split(0, 0)), invalid_argument);
  second->barrier().wait();
  one.wait();
}

}  // namespace
}  // namespace zero::testing
