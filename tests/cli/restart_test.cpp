// `zero launch --max-restarts`, the real binary: what is started again, how often, and that nothing
// of one life is there in the next.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

namespace zero::test {
namespace {

namespace fs = std::filesystem;

class Restart : public testing::Test {
 protected:
  Restart()
      : mark_("ZERO_TEST_MARK=" + std::to_string(getpid()) +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::string pattern = (fs::temp_directory_path() / "zero restart XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~Restart() override { fs::remove_all(folder_); }

  // Copies of a shell that runs `script`.
  [[nodiscard]] std::vector<std::string> command(int ranks, const std::string& restarts,
                                                 const std::string& script) const {
    return {ZERO_COMMAND,
            "launch",
            "-n",
            std::to_string(ranks),
            "--max-restarts",
            restarts,
            "--",
            "sh",
            "-c",
            "cd '" + folder_.string() + "'; " + script};
  }
  ran launch(int ranks, int restarts, const std::string& script) {
    return run(command(ranks, std::to_string(restarts), script), {mark_});
  }
  static int count(const std::string& text, const std::string& part) {
    int found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
      ++found;
    }
    return found;
  }

  std::string mark_;
  fs::path folder_;
};

TEST_F(Restart, AFallenJobLivesAgainAndKnowsHowOften) {
  const ran r = launch(3, 5,
                       "echo life $ZERO_RESTART; "
                       "[ $RANK = 1 ] && [ $ZERO_RESTART -lt 2 ] && kill -9 $$; true");
  EXPECT_EQ(r.exit_code, 0) << r.errors;
  for (int life = 0; life < 3; ++life) {
    EXPECT_EQ(count(r.output, "] life " + std::to_string(life) + "\n"), 3) << r.output;
  }
  EXPECT_EQ(r.errors,
            "zero launch: rank 1 was killed by signal 9 (Killed); restart 1 of 5\n"
            "zero launch: rank 1 was killed by signal 9 (Killed); restart 2 of 5\n");
}

TEST_F(Restart, NoMoreThanSoOften) {
  const ran r = launch(2, 2, "echo life; exit 7");
  EXPECT_EQ(r.exit_code, 7);
  EXPECT_EQ(count(r.output, "life\n"), 6) << r.output;
  EXPECT_EQ(lines_in(r.errors), 3) << r.errors;
  EXPECT_NE(r.errors.find("not started again, that was restart 2 of 2"), std::string::npos)
      << r.errors;
}

TEST_F(Restart, NeverUnlessAsked) {
  const ran r = run({ZERO_COMMAND, "launch", "-n", "1", "--", "sh", "-c", "echo life; exit 7"});
  EXPECT_EQ(r.exit_code, 7);
  EXPECT_EQ(count(r.output, "life\n"), 1);
  EXPECT_EQ(r.errors, "zero launch: rank 0 ended with exit code 7\n");
}

TEST_F(Restart, NotWhatWasWronglyCalled) {
  const ran r = launch(2, 3, "echo life; exit 2");
  EXPECT_EQ(r.exit_code, 2);
  EXPECT_LE(count(r.output, "life\n"), 2) << r.output;
  EXPECT_EQ(r.errors.find("restart"), std::string::npos) << r.errors;
}

TEST_F(Restart, NotWhatTheUserInterrupts) {
  running r(command(2, "3", "echo life; sleep 100"), {mark_});
  ASSERT_TRUE(r.wait_for_output("life", 2));
  kill(r.id(), SIGINT);
  const ran ended = r.finish();
  EXPECT_EQ(ended.exit_code, 128 + SIGINT);
  EXPECT_EQ(count(ended.output, "life"), 2);
  EXPECT_LT(ended.seconds, 10);
  EXPECT_TRUE(all_gone(mark_, 0.5));
}

// Rank 0 will not listen to SIGTERM, and rank 1 leaves a process behind.
TEST_F(Restart, NothingOfOneLifeIsThereInTheNext) {
  const ran r = launch(2, 1, R"(
    if [ $ZERO_RESTART = 1 ]; then
      for id in $(cat ids); do kill -0 $id 2>/dev/null && echo left; done
      wc -w < ids
      exit 0
    fi
    trap '' TERM
    setsid sleep 1000 &
    echo $$ $! >> ids
    until [ $(wc -w < ids) = 4 ]; do sleep 0.01; done
    [ $RANK = 1 ] && exit 9
    sleep 1000
    sleep 1000)");
  EXPECT_EQ(r.exit_code, 0) << r.output << r.errors;
  EXPECT_EQ(count(r.output, "left"), 0) << r.output;
  EXPECT_EQ(count(r.output, "] 4\n"), 2) << r.output;
  EXPECT_LT(r.seconds, 15);
}

TEST_F(Restart, RefusesANumberThatIsNone) {
  const ran r = run(command(2, "often", "true"));
  EXPECT_EQ(r.exit_code, 2);
  EXPECT_EQ(lines_in(r.errors), 1);
  EXPECT_NE(r.errors.find("--max-restarts"), std::string::npos) << r.errors;
}

}  // namespace
}  // namespace zero::test
