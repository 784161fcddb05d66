// Processes that find each other by a name, and those that must not or cannot.

#include "client/meeting_ranks.hpp"

#include <chrono>
#include <cmath>
#include <csignal>

namespace zero::testing {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// ---- by a name --------------------------------------------------------------------------------

TEST(explicit_ranks, meet_whoever_comes_first) {
  for (const int size : {1, 2, 3, 7}) {
    for (const bool rank_0_is_late : {false, true}) {
      const std::string name = fresh_name();
      std::vector<forked_body> bodies;
      for (int rank = 0; rank < size; ++rank) {
        bodies.push_back([=] {
          if ((rank == 0) == rank_0_is_late) usleep(50'000);
          return meet_as(spec_of(rank, size, name), static_cast<float>(1 << rank));
        });
      }
      forked ranks(bodies);
      for (int rank = 0; rank < size; ++rank) {
        const forked_outcome& outcome = ranks.wait(static_cast<std::size_t>(rank));
        EXPECT_EQ(outcome.status, ZERO_OK) << outcome.why.text;
        EXPECT_EQ(outcome.value, (1 << size) - 1);
      }
    }
  }
}

TEST(explicit_ranks, of_two_runs_beside_each_other_do_not_mix) {
  const std::string names[] = {fresh_name(), fresh_name()};
  std::vector<forked_body> bodies;
  for (int rank = 0; rank < 3; ++rank) {
    for (int run = 0; run < 2; ++run) {
      bodies.push_back([=, name = names[run]] {
        return meet_as(spec_of(rank, 3, name), static_cast<float>(run == 0 ? 1 : 100));
      });
    }
  }
  forked ranks(bodies);
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    EXPECT_EQ(ranks.wait(i).status, ZERO_OK) << ranks.wait(i).why.text;
    EXPECT_EQ(ranks.wait(i).value, i % 2 == 0 ? 3 : 300);
  }
}

TEST(explicit_ranks, meet_again_and_again_by_one_name) {
  const std::string name = fresh_name();
  std::vector<forked_body> bodies;
  for (int rank = 0; rank < 3; ++rank) {
    bodies.push_back([=] {
      forked_outcome last;
      for (int round = 1; round <= 20; ++round) {
        last = meet_as(spec_of(rank, 3, name), static_cast<float>(round));
        EXPECT_EQ(last.value, 3 * round) << last.why.text;
      }
      return last;
    });
  }
  forked ranks(bodies);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(ranks.wait(i).status, ZERO_OK);
}

TEST(explicit_ranks, that_nobody_joins_are_told_who_did_not_come) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string name = fresh_name();
  forked ranks({[&] { return meet_as(spec_of(0, 4, name, 0.7), 0); },
                [&] { return meet_as(spec_of(2, 4, name, 0.7), 0); },
                [&] { return meet_as(spec_of(1, 2, fresh_name(), 0.3), 0); }});
  for (const std::size_t i : {0, 1}) {  // both, and in the same words
    EXPECT_EQ(ranks.wait(i).status, ZERO_PEER_LOST);
    EXPECT_TRUE(says(ranks.wait(i), "ranks 1 and 3")) << ranks.wait(i).why.text;
    EXPECT_TRUE(says(ranks.wait(i), name)) << ranks.wait(i).why.text;
  }
  EXPECT_EQ(ranks.wait(2).status, ZERO_PEER_LOST);
  EXPECT_TRUE(says(ranks.wait(2), "for rank 0")) << ranks.wait(2).why.text;
  EXPECT_LT(seconds_since(begin), 5);
}

TEST(explicit_ranks, of_another_size_are_refused_and_the_others_meet) {
  const std::string name = fresh_name();
  forked ranks({[&] {
                  usleep(300'000);  // the wrong one is there first
                  return meet_as(spec_of(1, 2, name), 20);
                },
                [&] { return meet_as(spec_of(0, 2, name), 1); },
                [&] { return meet_as(spec_of(1, 3, name), 300); }});
  EXPECT_EQ(ranks.wait(0).value, 21) << ranks.wait(0).why.text;
  EXPECT_EQ(ranks.wait(1).value, 21) << ranks.wait(1).why.text;
  EXPECT_EQ(ranks.wait(2).status, ZERO_INVALID);
  EXPECT_TRUE(says(ranks.wait(2), "rank 1 of 3")) << ranks.wait(2).why.text;
  EXPECT_TRUE(says(ranks.wait(2), "a world of 2")) << ranks.wait(2).why.text;
}

TEST(explicit_ranks, that_come_twice_are_refused_and_the_others_meet) {
  const std::string name = fresh_name();
  forked ranks({[&] { return meet_as(spec_of(0, 3, name), 1); },
                [&] { return meet_as(spec_of(1, 3, name), 20); },
                [&] {
                  usleep(300'000);
                  return meet_as(spec_of(1, 3, name), 400);
                },
                [&] {
                  usleep(600'000);
                  return meet_as(spec_of(2, 3, name), 8000);
                }});
  for (const std::size_t i : {0, 1, 3}) {
    EXPECT_EQ(ranks.wait(i).value, 8021) << ranks.wait(i).why.text;
  }
  EXPECT_EQ(ranks.wait(2).status, ZERO_INVALID);
  EXPECT_TRUE(says(ranks.wait(2), "rank 1 of 3")) << ranks.wait(2).why.text;
  EXPECT_TRUE(says(ranks.wait(2), "has come before")) << ranks.wait(2).why.text;
}

TEST(explicit_ranks, a_second_rank_0_is_told_that_the_name_is_in_use) {
  const std::string name = fresh_name();
  forked ranks({[&] { return meet_as(spec_of(0, 2, name), 1); },
                [&] {
                  usleep(300'000);
                  return meet_as(spec_of(0, 2, name), 1);
                },
                [&] {
                  usleep(600'000);
                  return meet_as(spec_of(1, 2, name), 20);
                }});
  EXPECT_EQ(ranks.wait(0).value, 21) << ranks.wait(0).why.text;
  EXPECT_EQ(ranks.wait(2).value, 21) << ranks.wait(2).why.text;
  EXPECT_EQ(ranks.wait(1).status, ZERO_INVALID);
  EXPECT_TRUE(says(ranks.wait(1), "in use")) << ranks.wait(1).why.text;
}

TEST(explicit_ranks, hear_at_once_of_one_that_dies_before_all_have_come) {
  const auto begin = std::chrono::steady_clock::now();
  for (const std::size_t victim : {0, 1}) {
    const std::string name = fresh_name();
    forked ranks({[&] { return meet_as(spec_of(0, 3, name), 0); },
                  [&] { return meet_as(spec_of(1, 3, name), 0); }});
    usleep(300'000);
    kill(ranks.process(victim), SIGKILL);
    const forked_outcome& outcome = ranks.wait(1 - victim);
    EXPECT_EQ(outcome.status, ZERO_PEER_LOST);
    EXPECT_TRUE(says(outcome, "rank " + std::to_string(victim))) << outcome.why.text;
    EXPECT_TRUE(says(outcome, "gone before all had come")) << outcome.why.text;
  }
  EXPECT_LT(seconds_since(begin), 30);  // of 60
}

// ---- wrong arguments --------------------------------------------------------------------------

void expect_refused(const zero_rank_spec& spec, const std::string& part) {
  zero_message why;
  int is_no_handle = 0;
  auto* ranks = reinterpret_cast<zero_ranks*>(&is_no_handle);
  EXPECT_EQ(zero_ranks_explicit(&spec, &ranks, &why), ZERO_INVALID);
  EXPECT_EQ(ranks, nullptr);
  EXPECT_NE(std::string(why.text).find(part), std::string::npos) << why.text;
}

TEST(explicit_ranks, refuse_a_spec_that_cannot_be) {
  const std::string name = fresh_name();
  expect_refused(spec_of(2, 2, name), "rank 2 of 2");
  expect_refused(spec_of(-1, 2, name), "rank -1 of 2");
  expect_refused(spec_of(0, 0, name), "rank 0 of 0");
  expect_refused(spec_of(0, 2, ""), "meeting is empty");
  expect_refused(spec_of(0, 2, name, -1), "deadline_seconds");
  expect_refused(spec_of(0, 2, name, std::nan("")), "deadline_seconds");
  zero_rank_spec spec = spec_of(0, 2, name);
  spec.meeting = nullptr;
  expect_refused(spec, "meeting is empty");
  spec = spec_of(0, 4, name);
  spec.local_rank = 0;
  spec.local_size = 2;
  expect_refused(spec, "local_size is 2 of 4 ranks");
  spec.local_rank = 2;
  expect_refused(spec, "local_rank 2 of local_size 2");
  spec = spec_of(0, 2, name);
  spec.struct_size = 8;
  expect_refused(spec, "struct_size is 8");
  EXPECT_EQ(zero_ranks_explicit(nullptr, nullptr, nullptr), ZERO_INVALID);
  EXPECT_EQ(zero_ranks_environment(nullptr, nullptr), ZERO_INVALID);
}

TEST(explicit_ranks, of_a_newer_client_are_taken_if_they_ask_for_nothing_new) {
  const std::string name = "x";
  struct {
    zero_rank_spec known;
    long newer;
  } spec{spec_of(0, 1, name), 0};
  spec.known.struct_size = sizeof spec;
  zero_ranks* ranks = nullptr;
  zero_message why;
  EXPECT_EQ(zero_ranks_explicit(&spec.known, &ranks, &why), ZERO_OK) << why.text;
  zero_ranks_destroy(ranks);
  spec.newer = 1;
  expect_refused(spec.known, "does not have");
}

}  // namespace
}  // namespace zero::testing
