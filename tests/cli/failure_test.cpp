// The command when a rank hangs, dies or was started otherwise: the exit code is that of the class
// of the error, everybody is gone soon, and what ranks left behind names the culprit.
#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

namespace zero::test {
namespace {

// Processes whose end nobody but this test sees while it lives, as if the kernel kept them in a
// call that does not return.
class unseen_ends {
 public:
  // Whether that could be had of all.
  bool take(const std::vector<pid_t>& processes) {
    for (const pid_t process : processes) {
      if (ptrace(PTRACE_SEIZE, process, nullptr, nullptr) != 0) return false;
      held_.push_back(process);
    }
    return true;
  }
  ~unseen_ends() {
    for (const pid_t process : held_) {
      kill(process, SIGKILL);
      int status = 0;
      while (waitpid(process, &status, __WALL) == process && WIFSTOPPED(status)) {
        ptrace(PTRACE_CONT, process, nullptr, nullptr);
      }
    }
  }

 private:
  std::vector<pid_t> held_;
};

class Failure : public testing::Test {
 protected:
  Failure()
      : mark_("ZERO_TEST_MARK=" + std::to_string(getpid()) +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::string pattern = (std::filesystem::temp_directory_path() / "zero-failure-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~Failure() override { std::filesystem::remove_all(folder_); }

  std::vector<std::string> training(int ranks, const std::string& steps,
                                    const std::vector<std::string>& more) const {
    std::vector<std::string> all{
        ZERO_COMMAND,   "train", "--layers",  "1",
        "--channels",   "32",    "--heads",   "1",
        "--vocabulary", "256",   "--context", "16",
        "--batch",      "4",     "--text",    "/usr/share/common-licenses/GPL-3"};
    all.insert(all.end(), {"--ranks", std::to_string(ranks), "--steps", steps});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // The ranks' processes, by rank.
  [[nodiscard]] std::vector<pid_t> ranks_of_run(int ranks) const {
    std::vector<pid_t> found(static_cast<std::size_t>(ranks), -1);
    for (const pid_t process : processes_marked(mark_)) {
      std::ifstream file("/proc/" + std::to_string(process) + "/environ");
      std::string text((std::istreambuf_iterator<char>(file)), {});
      text.insert(text.begin(), '\0');
      const auto at = text.find(std::string("\0RANK=", 6));
      if (at == std::string::npos) continue;
      const auto rank = static_cast<std::size_t>(std::atoi(text.c_str() + at + 6));
      if (rank < found.size()) found[rank] = process;
    }
    return found;
  }
  [[nodiscard]] ran operations() const { return run({ZERO_COMMAND, "operations", folder_}); }

  std::string mark_;
  std::string folder_;
};

TEST_F(Failure, OfARankThatHangsIsNamedByWhatTheOthersLeave) {
  running job(training(3, "100000000", {"--deadline", "1", "--failure-folder", folder_}), {mark_});
  ASSERT_TRUE(job.wait_for_errors("100000000 steps", 1));
  const pid_t victim = ranks_of_run(3)[1];
  ASSERT_GT(victim, 0);
  kill(victim, SIGSTOP);
  const ran ended = job.finish();
  EXPECT_EQ(ended.exit_code, 3) << ended.errors;
  EXPECT_NE(ended.errors.find("waited 1 s for rank 1"), std::string::npos) << ended.errors;
  EXPECT_TRUE(all_gone(mark_, 5));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/failure-rank-0.json"));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/failure-rank-2.json"));
  const ran said = operations();
  EXPECT_EQ(said.exit_code, 0) << said.errors;
  EXPECT_NE(said.output.find("records of 2 of 3 ranks\nrank 1 left no record\n"), std::string::npos)
      << said.output;
  EXPECT_NE(said.output.find("for rank 1 to"), std::string::npos) << said.output;
  EXPECT_NE(said.output.find("not ended:"), std::string::npos) << said.output;
}

// Nobody is left to wait for anybody: their starter finds it.
TEST_F(Failure, OfRanksThatAreAllStoppedIsFoundByTheStarter) {
  running job(training(3, "100000000", {"--deadline", "1"}), {mark_});
  ASSERT_TRUE(job.wait_for_errors("100000000 steps", 1));
  for (const pid_t rank : ranks_of_run(3)) {
    ASSERT_GT(rank, 0);
    kill(rank, SIGSTOP);
  }
  const auto begin = std::chrono::steady_clock::now();
  const ran ended = job.finish();
  EXPECT_EQ(ended.exit_code, 3) << ended.errors;
  EXPECT_NE(ended.errors.find("zero train: ranks 0, 1 and 2 were stopped"), std::string::npos)
      << ended.errors;
  // The deadline, 2 s in which peers might have said it, and at most 10 to end.
  EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(2500));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(13));
  EXPECT_TRUE(all_gone(mark_, 5));
}

// As a Ctrl-Z stops them: the time they were stopped counts for none of them, and nobody is late.
TEST_F(Failure, IsNotThatAJobWasStoppedForLong) {
  running job(training(3, "100000000", {"--deadline", "1"}), {mark_});
  ASSERT_TRUE(job.wait_for_errors("100000000 steps", 1));
  std::vector<pid_t> all = ranks_of_run(3);
  all.push_back(job.id());
  for (int i = 0; i < 2; ++i) {
    for (const pid_t process : all) kill(process, SIGSTOP);
    poll(nullptr, 0, 4000);
    for (const pid_t process : all) kill(process, SIGCONT);
    poll(nullptr, 0, 2000);
  }
  kill(job.id(), SIGINT);
  const ran ended = job.finish();
  EXPECT_EQ(ended.exit_code, 130) << ended.errors;
  EXPECT_TRUE(all_gone(mark_, 5));
}

// Rank 0 says that it waited for rank 1, and nobody is ever seen to end.
TEST_F(Failure, OfRanksThatCannotBeEndedIsToldAllTheSame) {
  running job(training(2, "100000000", {"--deadline", "1"}), {mark_});
  ASSERT_TRUE(job.wait_for_errors("100000000 steps", 1));
  const std::vector<pid_t> ranks = ranks_of_run(2);
  unseen_ends held;
  if (!held.take(ranks)) GTEST_SKIP() << "processes cannot be traced here";
  kill(ranks[1], SIGSTOP);
  const auto begin = std::chrono::steady_clock::now();
  const ran ended = job.finish();
  // The deadline, and 10 s.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(11));
  EXPECT_EQ(ended.exit_code, 3) << ended.errors;
  EXPECT_NE(ended.errors.find("zero train: rank 0: "), std::string::npos) << ended.errors;
  EXPECT_NE(ended.errors.find("waited 1 s for rank 1"), std::string::npos) << ended.errors;
  for (int rank = 0; rank < 2; ++rank) {
    const std::string who = "rank " + std::to_string(rank) + " (process " +
                            std::to_string(ranks[static_cast<std::size_t>(rank)]) + ")";
    EXPECT_NE(ended.errors.find("; could not be ended"), std::string::npos) << ended.errors;
    EXPECT_NE(ended.errors.find(who), std::string::npos) << ended.errors;
  }
}

// Ranks that nobody watches: each was started by hand, and they met.
TEST_F(Failure, OfARankThatDiesIsNoticedWithoutAStarter) {
  constexpr int size = 3;
  std::vector<std::unique_ptr<running>> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.push_back(std::make_unique<running>(
        std::vector<std::string>{ZERO_TEST_RANK, "meet"},
        std::vector<std::string>{mark_, "ZERO_MEETING=" + mark_, "RANK=" + std::to_string(rank),
                                 "WORLD_SIZE=" + std::to_string(size)}));
  }
  for (auto& rank : ranks) ASSERT_TRUE(rank->wait_for_output("met", 1));
  kill(ranks[1]->id(), SIGKILL);
  const auto begin = std::chrono::steady_clock::now();
  for (const std::size_t rank : {0U, 2U}) {
    const ran ended = ranks[rank]->finish();
    EXPECT_EQ(ended.exit_code, 3) << ended.errors;
    EXPECT_NE(ended.errors.find("rank 1 is lost: its process"), std::string::npos) << ended.errors;
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(ranks[1]->finish().exit_code, 128 + SIGKILL);
}

TEST_F(Failure, LeavesNothingWhereItIsNotAskedTo) {
  const ran ended = run(training(2, "2", {"--failure-folder", folder_}), {mark_});
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(Failure, RecordsThatCannotBeReadAreRefused) {
  EXPECT_EQ(run({ZERO_COMMAND, "operations"}).exit_code, 2);
  EXPECT_EQ(run({ZERO_COMMAND, "operations", folder_}).exit_code, 2);
  EXPECT_EQ(run({ZERO_COMMAND, "operations", "--all"}).exit_code, 2);
  const std::string file = folder_ + "/failure-rank-0.json";
  std::ofstream(file) << "{";
  EXPECT_EQ(run({ZERO_COMMAND, "operations", file}).exit_code, 5);
  EXPECT_EQ(run({ZERO_COMMAND, "operations", "--help"}).exit_code, 0);
}

}  // namespace
}  // namespace zero::test
