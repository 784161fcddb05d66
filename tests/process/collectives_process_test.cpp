// Ranks as processes: the contract, and what the others are told when one of them is killed, is
// stopped, comes late or does something else.
#include "contract/communicator_contract.hpp"
#include "support/run_processes.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

namespace zero::testing {
namespace {

using namespace std::chrono_literals;

INSTANTIATE_TEST_SUITE_P(processes, communicator_contract,
                         ::testing::Values(backend{
                             "shared_memory", {1, 2, 4}, [](int size, const auto& body) {
                               rank_processes ranks(size, body);
                               for (int rank = 0; rank < size; ++rank) {
                                 EXPECT_EQ(ranks.wait(rank), 0) << ranks[rank].text.data();
                                 EXPECT_TRUE(ranks[rank].returned);
                               }
                             }}));

// A mix of everything, for ever.
void work(communicator& ranks, std::chrono::milliseconds deadline) {
  ranks.set_deadline(deadline);
  const auto n = static_cast<std::size_t>(ranks.size());
  const std::size_t count = 50021;
  const typed_span full{ranks.memory().allocate(n * count * 4), n * count, dtype::fp32};
  const typed_span shard{ranks.memory().allocate(count * 4), count, dtype::fp32};
  std::vector<float> heap(100000);
  while (true) {
    ranks.all_gather(shard, full).wait();
    ranks.reduce_scatter(full, shard);
    ranks.all_reduce({heap.data(), heap.size(), dtype::fp32}).wait();
    ranks.barrier();
    ranks.broadcast(full, 1).wait();
    ++rank_processes::current()->steps;
  }
}

void wait_for_steps(rank_processes& ranks, int size, std::uint64_t steps) {
  const auto until = std::chrono::steady_clock::now() + 60s;
  for (int rank = 0; rank < size; ++rank) {
    while (ranks[rank].steps < steps) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << "rank " << rank << " does not work";
      std::this_thread::sleep_for(1ms);
    }
  }
}

// All ranks but `lost` ended by naming it, with one text.
void expect_named(rank_processes& ranks, int size, int lost, const std::string& word) {
  std::string text;
  for (int rank = 0; rank < size; ++rank) {
    if (rank == lost) continue;
    SCOPED_TRACE("rank " + std::to_string(rank));
    const int status = ranks.wait(rank);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 1);
    EXPECT_EQ(ranks[rank].kind, error_class::peer_lost);
    EXPECT_EQ(ranks[rank].culprits, 1) << ranks[rank].text.data();
    EXPECT_EQ(ranks[rank].ranks[0], lost) << ranks[rank].text.data();
    const std::string found = ranks[rank].text.data();
    EXPECT_NE(found.find(word), std::string::npos) << found;
    if (text.empty()) text = found;
    EXPECT_EQ(found, text);
  }
}

TEST(killed, and_reported_ends_the_others_at_once) {
  for (const int lost : {0, 2, 3}) {
    rank_processes ranks(4, [](communicator& c) { work(c, 60s); });
    wait_for_steps(ranks, 4, 5);
    ranks.send(lost, SIGKILL);
    const int status = ranks.wait(lost);
    EXPECT_TRUE(WIFSIGNALED(status));
    const auto begin = std::chrono::steady_clock::now();
    ranks.world().report_lost(lost, "killed by signal 9");
    expect_named(ranks, 4, lost, "killed by signal 9");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  }
}

TEST(killed, without_a_word_is_noticed_at_once) {
  std::mt19937 random(11);
  for (int round = 0; round < 6; ++round) {
    const int lost = static_cast<int>(random() % 3);
    rank_processes ranks(3, [](communicator& c) { work(c, 60s); });
    wait_for_steps(ranks, 3, 1 + random() % 20);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));  // anywhere in a step
    const std::string process = std::to_string(ranks.process(lost));
    ranks.send(lost, SIGKILL);
    ranks.wait(lost);
    expect_named(ranks, 3, lost,
                 "rank " + std::to_string(lost) + " is lost: its process " + process + " ended");
  }
}

TEST(stopped, is_named_and_learns_of_it_when_it_goes_on) {
  rank_processes ranks(3, [](communicator& c) { work(c, 1500ms); });
  wait_for_steps(ranks, 3, 5);
  ranks.send(1, SIGSTOP);
  expect_named(ranks, 3, 1, "waited 1.5 s for rank 1");
  ranks.send(1, SIGCONT);
  EXPECT_EQ(WEXITSTATUS(ranks.wait(1)), 1);
  EXPECT_EQ(ranks[1].kind, error_class::peer_lost);
  EXPECT_EQ(ranks[1].ranks[0], 1);
}

TEST(late, rank_is_given_up_at_the_deadline) {
  rank_processes ranks(3, [](communicator& c) {
    c.set_deadline(300ms);
    c.barrier().wait();
    if (c.rank() == 2) {
      // Until the others gave it up, seen by the peer's own ending.
      while (rank_processes::current()[-1].culprits == 0) std::this_thread::sleep_for(1ms);
    }
    c.barrier({{}, "step", 4}).wait();
  });
  expect_named(ranks, 3, 2, "for rank 2 to begin operation 1, barrier 'step' (tag 4)");
  EXPECT_EQ(WEXITSTATUS(ranks.wait(2)), 1);
  EXPECT_EQ(ranks[2].ranks[0], 2);
}

TEST(apart, ranks_that_do_something_else_are_named_everywhere) {
  rank_processes ranks(4, [](communicator& c) {
    const typed_span value{c.memory().allocate(400), 100, dtype::fp32};
    c.all_reduce(value).wait();
    c.all_reduce(c.rank() == 3 ? value.part(0, 99) : value, {{}, "norm", 2}).wait();
  });
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(WEXITSTATUS(ranks.wait(rank)), 1);
    EXPECT_EQ(ranks[rank].kind, error_class::desync);
    EXPECT_EQ(ranks[rank].culprits, 1);
    EXPECT_EQ(ranks[rank].ranks[0], 3);
    const std::string text = ranks[rank].text.data();
    EXPECT_NE(text.find("rank 3 about to all_reduce 'norm' of 99 fp32 (tag 2)"), std::string::npos)
        << text;
    EXPECT_NE(text.find("ranks 0, 1 and 2 about to all_reduce 'norm' of 100 fp32 (tag 2)"),
              std::string::npos)
        << text;
  }
}

TEST(exiting, without_leaving_is_as_good_as_dead) {
  // The process ends in the middle of the body: no destructor runs.
  rank_processes ranks(3, [](communicator& c) {
    c.barrier().wait();
    if (c.rank() == 0) _exit(7);
    c.barrier().wait();
  });
  EXPECT_EQ(WEXITSTATUS(ranks.wait(0)), 7);
  expect_named(ranks, 3, 0, "rank 0 is lost: its process");
}

}  // namespace
}  // namespace zero::testing
