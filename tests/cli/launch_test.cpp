// `zero launch`, the real binary: what ranks are given, whose exit code comes back, and that
// nobody is left behind, whoever dies and however.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace zero::test {
namespace {

// Each test marks its processes, so that it can count those that are left.
class Launch : public testing::Test {
 protected:
  Launch()
      : mark_("ZERO_TEST_MARK=" + std::to_string(getpid()) +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}) unsetenv(name);
  }

  std::vector<std::string> command(int ranks, const std::vector<std::string>& told) {
    std::vector<std::string> result{ZERO_COMMAND,          "launch", "-n",
                                    std::to_string(ranks), "--",     ZERO_TEST_RANK};
    result.insert(result.end(), told.begin(), told.end());
    return result;
  }
  ran launch(int ranks, const std::vector<std::string>& told, const std::string& input = "") {
    return run(command(ranks, told), {mark_}, input);
  }
  // Ended within `seconds`, and nobody is left.
  void expect_ended(const ran& r, int exit_code, double seconds) {
    EXPECT_EQ(r.exit_code, exit_code) << r.output << r.errors;
    EXPECT_LT(r.seconds, seconds);
    EXPECT_TRUE(all_gone(mark_, 0.5));
  }

  std::string mark_;
};

TEST_F(Launch, TellsEveryRankWhoItIsAndPrefixesItsLines) {
  const ran r = launch(3, {"say"});
  expect_ended(r, 0, 30);
  for (int rank = 0; rank < 3; ++rank) {
    const std::string n = std::to_string(rank);
    EXPECT_NE(r.output.find("[" + n + "] rank " + n + " of 3, local " + n + " of 3"),
              std::string::npos)
        << r.output;
    EXPECT_NE(r.errors.find("[" + n + "] error of " + n + "\n"), std::string::npos) << r.errors;
  }
  EXPECT_EQ(lines_in(r.output), 3);
  EXPECT_EQ(lines_in(r.errors), 3);
}

TEST_F(Launch, Pitfall12_SharesTheCoresUnlessTheUserSaysOtherwise) {
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  const ran many = launch(static_cast<int>(cores) + 1, {"say"});
  EXPECT_NE(many.output.find("threads 1 1"), std::string::npos) << many.output;
  const ran told = run(command(1, {"say"}), {mark_, "OMP_NUM_THREADS=17"});
  EXPECT_NE(told.output.find("threads 17 "), std::string::npos) << told.output;
}

TEST_F(Launch, PassesOnALineThatWasNotEnded) {
  const ran r = launch(2, {"partial"});
  expect_ended(r, 0, 30);
  EXPECT_EQ(r.output.size(), 2 * std::string("[0] no newline\n").size());
  EXPECT_NE(r.output.find("[1] no newline\n"), std::string::npos) << r.output;
}

TEST_F(Launch, GivesStandardInputToRankZeroAlone) {
  const ran r = launch(3, {"input"}, "hello\n");
  expect_ended(r, 0, 30);
  EXPECT_EQ(r.output, "[0] read hello\n");
}

TEST_F(Launch, HandsDownNoDescriptorButTheArena) {
  const int leaked = dup(1);  // inheritable, as a careless starter of ours would leave it
  const ran r = launch(2, {"descriptors"});
  close(leaked);
  expect_ended(r, 0, 30);
  EXPECT_NE(r.output.find("[0] extra 0\n"), std::string::npos) << r.output;
  EXPECT_NE(r.output.find("[1] extra 0\n"), std::string::npos) << r.output;
}

TEST_F(Launch, ReturnsTheExitCodeOfTheRankThatFailed) {
  const ran r = launch(3, {"exit", "1", "42"});
  expect_ended(r, 42, 5);
  EXPECT_NE(r.errors.find("zero launch: rank 1 ended with exit code 42\n"), std::string::npos)
      << r.errors;
}

TEST_F(Launch, ReturnsTheSignalOfTheRankThatWasKilled) {
  const ran r = launch(4, {"die", "2", "9"});
  expect_ended(r, 128 + 9, 5);
  EXPECT_NE(r.errors.find("rank 2 was killed by signal 9"), std::string::npos) << r.errors;
}

TEST_F(Launch, EndsRanksThatIgnoreSigterm) {
  const ran r = launch(3, {"stubborn", "0", "7"});
  expect_ended(r, 7, 5);
}

TEST_F(Launch, TellsRanksInACollectiveThatAPeerIsLost) {
  const ran r = launch(4, {"collective", "3", "9"});
  expect_ended(r, 128 + 9, 5);
  // The survivors end by themselves, with their own words, well before they would be ended.
  EXPECT_LT(r.seconds, 2);
  EXPECT_GE(lines_in(r.errors), 4) << r.errors;
}

// Whether the others have joined when it ends, or only afterwards.
TEST_F(Launch, NoticesARankThatEndsWellBeforeItJoins) {
  for (const char* late : {"0", "500"}) {
    const ran r = launch(3, {"absent", "1", late});
    expect_ended(r, 3, 6);
    const std::string why = "rank 1 ended with exit code 0 before it joined the others";
    for (const char* who : {"[0] ", "[2] "}) {
      EXPECT_NE(
          r.errors.find(std::string(who) + "[collectives.shared_memory] rank 1 is lost: " + why),
          std::string::npos)
          << r.errors;
    }
    EXPECT_NE(r.errors.find("\nzero launch: " + why + "\n"), std::string::npos) << r.errors;
  }
}

TEST_F(Launch, LetsProgramsEndThatAreNoRanks) {
  expect_ended(run({ZERO_COMMAND, "launch", "-n", "3", "--", "sh", "-c", "sleep 0.$RANK"}, {mark_}),
               0, 10);
}

TEST_F(Launch, ACauseIsNotHiddenByItsConsequence) {
  const ran r = launch(2, {"exit_late", "5"});
  expect_ended(r, 5, 5);
}

TEST_F(Launch, EndsWhatARankLeftBehind) {
  const ran r = launch(2, {"orphan", "0", "8"});
  expect_ended(r, 8, 6);
}

class Interrupted : public Launch, public testing::WithParamInterface<int> {};

TEST_P(Interrupted, EndsWithinFiveSeconds) {
  running r(command(3, {"wait"}), {mark_});
  ASSERT_TRUE(r.wait_for_output("waiting", 3));
  kill(r.id(), GetParam());
  const auto begin = std::chrono::steady_clock::now();
  const ran ended = r.finish();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(ended.exit_code, 128 + GetParam());
  EXPECT_TRUE(all_gone(mark_, 0.5));
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupted, testing::Values(SIGINT, SIGTERM, SIGHUP));

TEST_F(Launch, EndsStubbornRanksWhenInterrupted) {
  running r(command(2, {"stubborn", "99", "0"}), {mark_});
  ASSERT_TRUE(r.wait_for_output("stubborn", 2));
  kill(r.id(), SIGINT);
  const auto begin = std::chrono::steady_clock::now();
  const ran ended = r.finish();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(ended.exit_code, 128 + SIGINT);
  EXPECT_TRUE(all_gone(mark_, 0.5));
}

TEST_F(Launch, LeavesNoRankWhenItIsKilledItself) {
  running r(command(3, {"wait"}), {mark_});
  ASSERT_TRUE(r.wait_for_output("waiting", 3));
  EXPECT_EQ(processes_marked(mark_).size(), 4U);
  kill(r.id(), SIGKILL);
  EXPECT_EQ(r.finish().exit_code, 128 + SIGKILL);
  EXPECT_TRUE(all_gone(mark_, 2));
}

TEST_F(Launch, NamesAProgramThatCannotBeRun) {
  for (const char* program : {"/no/such/program", "no-such-program", "/"}) {
    const ran r = run({ZERO_COMMAND, "launch", "-n", "2", program}, {mark_});
    expect_ended(r, 2, 5);
    EXPECT_EQ(lines_in(r.errors), 1) << r.errors;
    EXPECT_NE(r.errors.find(program), std::string::npos) << r.errors;
  }
}

TEST_F(Launch, TakesProgramsWithoutTheDoubleDash) {
  const ran r = run({ZERO_COMMAND, "launch", "--ranks=2", "echo", "-n", "7", "--help"}, {mark_});
  expect_ended(r, 0, 30);
  EXPECT_NE(r.output.find("[0] 7 --help\n"), std::string::npos) << r.output;
}

TEST_F(Launch, WritesEverythingToASlowReader) {
  // 2 x 3 MB through a pipe of 64 KiB that is read late.
  running r({ZERO_COMMAND, "launch", "-n", "2", "--", "sh", "-c",
             "head -c 3000000 /dev/zero | tr '\\0' 'x' | fold -w 99"},
            {mark_});
  usleep(200'000);
  const ran ended = r.finish();
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  // fold makes lines of 99, the last one without its newline, which is added.
  const std::size_t lines = (3'000'000 + 98) / 99;
  EXPECT_EQ(ended.output.size(), 2 * (3'000'000 + lines * 5));
}

TEST_F(Launch, EndsWhenNobodyReadsIt) {
  const ran r = run(
      {"sh", "-c", "trap '' PIPE; \"$0\" launch -n 2 -- yes | head -n 1", ZERO_COMMAND}, {mark_});
  expect_ended(r, 0, 30);  // the exit code is that of head
  EXPECT_EQ(lines_in(r.output), 1);
}

TEST_F(Launch, RefusesToRunInsideALauncher) {
  const ran r = run({ZERO_COMMAND, "launch", "-n", "2", "true"}, {mark_, "RANK=0", "WORLD_SIZE=2"});
  expect_ended(r, 2, 5);
  EXPECT_EQ(lines_in(r.errors), 1);
  EXPECT_NE(r.errors.find("RANK"), std::string::npos) << r.errors;
}

}  // namespace
}  // namespace zero::test
