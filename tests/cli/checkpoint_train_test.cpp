// `zero train` with checkpoints, the real binary: what is kept, what a run goes on from, what it
// says of it, and what it refuses.

#include "cli/checkpoint_scratch.hpp"

#include <signal.h>

namespace zero::test {
namespace {

namespace fs = std::filesystem;

class At : public Checkpoints, public testing::WithParamInterface<bool> {
 protected:
  // At once or in the background.
  [[nodiscard]] static words how() { return GetParam() ? words{"--checkpoint-async"} : words{}; }
};

INSTANTIATE_TEST_SUITE_P(OnceOrInTheBackground, At, testing::Bool());

TEST_P(At, GoesOnAsIfItHadNeverStopped) {
  const words keep =
      joined({"--checkpoint", at("kept"), "--save-every", "3", "--keep", "0"}, how());
  ASSERT_EQ(run_job("all", 8, keep).exit_code, 0);
  EXPECT_EQ(checkpoints_in("kept"),
            (std::set<std::string>{"step-000000000003", "step-000000000006", "step-000000000008"}));
  const auto whole = lines_of("all", "zero.step/1");
  ASSERT_EQ(whole.size(), 8U);
  EXPECT_EQ(steps_of(lines_of("all", "zero.checkpoint/1")), (std::vector<int>{3, 6, 8}));
  EXPECT_TRUE(lines_of("all").back().at("checkpoints").at("resumed_from").is_null());

  copy("kept/step-000000000003", "from/step-000000000003");
  const words resume =
      joined({"--checkpoint", at("from"), "--save-every", "3", "--keep", "1", "--resume"}, how());
  const ran r = run_job("rest", 8, resume);
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  EXPECT_NE(r.errors.find("goes on from step-000000000003"), std::string::npos) << r.errors;
  EXPECT_EQ(lines_of("rest").front().at("schema"), "zero.resume/1");
  EXPECT_EQ(lines_of("rest").front().at("step"), 3);
  const auto rest = lines_of("rest", "zero.step/1");
  ASSERT_EQ(rest.size(), 5U);
  for (std::size_t i = 0; i < rest.size(); ++i) {
    for (const char* field : {"step", "loss", "gradient_norm", "learning_rate"}) {
      EXPECT_EQ(rest[i].at(field), whole[i + 3].at(field)) << field;
    }
  }
  const json end = lines_of("rest").back();
  EXPECT_EQ(end.at("parameters_digest"), lines_of("all").back().at("parameters_digest"));
  EXPECT_EQ(end.at("checkpoints").at("resumed_from"), 3);
  EXPECT_EQ(end.at("checkpoints").at("saved"), 2);
  EXPECT_EQ(end.at("checkpoints").at("failed"), 0);
  EXPECT_EQ(end.at("checkpoints").at("last"), "step-000000000008");
  EXPECT_GT(end.at("checkpoints").at("bytes").get<int>(), 2 * 12 * 3000);
  EXPECT_EQ(checkpoints_in("from"), std::set<std::string>{"step-000000000008"});
}

TEST_P(At, WhatIsInterruptedLeavesNothingUnfinished) {
  running r(
      job("report", 1000000, joined({"--checkpoint", at("kept"), "--save-every", "1"}, how())),
      {mark_});
  while (lines_of("report", "zero.checkpoint/1").size() < 5) usleep(1000);
  kill(r.id(), SIGINT);
  const ran ended = r.finish();
  EXPECT_EQ(ended.exit_code, 128 + SIGINT) << ended.errors;
  EXPECT_TRUE(all_gone(mark_, 0.5));
  for (const std::string& name : names_in("kept")) {
    EXPECT_NE(name.rfind(".staging", 0), 0U) << name;
    EXPECT_NE(name.rfind(".trash", 0), 0U) << name;
  }
  EXPECT_GE(checkpoints_in("kept").size(), 2U);
  EXPECT_EQ(run({ZERO_COMMAND, "checkpoint", "verify", at("kept")}).exit_code, 0);
}

TEST_P(At, RanksThatFallAreStartedAgain) {
  ASSERT_EQ(run_job("alone", 300, {}).exit_code, 0);
  running r(
      job("report", 300,
          joined({"--checkpoint", at("kept"), "--save-every", "5", "--max-restarts", "3"}, how())),
      {mark_});
  for (std::size_t life = 0; life < 2; ++life) {
    while (lines_of("report", "zero.checkpoint/1").size() < 2 ||
           lines_of("report", "zero.resume/1").size() < life) {
      usleep(1000);
    }
    for (const pid_t process : processes_marked(mark_)) {
      if (process == r.id()) continue;
      kill(process, SIGKILL);
      break;
    }
  }
  const ran ended = r.finish();
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_NE(ended.errors.find("was killed by signal 9 (Killed); restart 1 of 3"), std::string::npos)
      << ended.errors;
  EXPECT_NE(ended.errors.find("restart 2 of 3"), std::string::npos) << ended.errors;
  EXPECT_EQ(lines_of("report", "zero.resume/1").size(), 2U);
  EXPECT_EQ(lines_of("report").back().at("parameters_digest"),
            lines_of("alone").back().at("parameters_digest"));
}

TEST_F(Checkpoints, OneIsKeptAtTheEndUnlessMoreAreAskedFor) {
  ASSERT_EQ(run_job("report", 4, {"--checkpoint", at("a/b/c")}).exit_code, 0);
  EXPECT_EQ(checkpoints_in("a/b/c"), std::set<std::string>{"step-000000000004"});
  ASSERT_EQ(run_job("report", 6, {"--checkpoint", at("kept"), "--save-every", "1"}).exit_code, 0);
  EXPECT_EQ(checkpoints_in("kept").size(), 2U);
}

TEST_F(Checkpoints, TheTextPositionIsTheSteps) {
  ASSERT_EQ(run_job("report", 4, {"--checkpoint", at("kept")}).exit_code, 0);
  const ran r = run_job("more", 6, {"--checkpoint", at("kept"), "--resume", "--seed", "2"});
  EXPECT_EQ(r.exit_code, 0);
  // Nothing hinders who wants something else, but it is said.
  EXPECT_NE(r.errors.find("--steps is 6 and was 4"), std::string::npos) << r.errors;
  EXPECT_NE(r.errors.find("--seed is 2 and was 1"), std::string::npos) << r.errors;
  EXPECT_EQ(steps_of(lines_of("more", "zero.step/1")), (std::vector<int>{5, 6}));
}

TEST_F(Checkpoints, FromNothingItStartsAtTheBeginningAndSaysSo) {
  const ran r = run_job("report", 2, {"--checkpoint", at("kept"), "--resume"});
  EXPECT_EQ(r.exit_code, 0);
  EXPECT_NE(r.errors.find("holds no checkpoint; training starts at step 0"), std::string::npos)
      << r.errors;
  EXPECT_EQ(steps_of(lines_of("report", "zero.step/1")), (std::vector<int>{1, 2}));
}

TEST_F(Checkpoints, WhatIsDoneIsNotDoneAgain) {
  ASSERT_EQ(run_job("report", 4, {"--checkpoint", at("kept")}).exit_code, 0);
  const ran r = run_job("report", 4, {"--checkpoint", at("kept"), "--resume"});
  EXPECT_EQ(r.exit_code, 0) << r.errors;
  EXPECT_NE(r.errors.find("nothing is left to train"), std::string::npos) << r.errors;
  // The report of the first is continued.
  const auto runs = lines_of("report", "zero.run/1");
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].at("parameters_digest"), runs[1].at("parameters_digest"));
  EXPECT_TRUE(runs[1].at("losses").empty());
  EXPECT_TRUE(runs[1].at("step_seconds").at("median").is_null());
  EXPECT_EQ(steps_of(lines_of("report", "zero.step/1")), (std::vector<int>{1, 2, 3, 4}));
}

TEST_F(Checkpoints, AReportThatWasTornIsContinuedOnALineOfItsOwn) {
  ASSERT_EQ(run_job("report", 2, {"--checkpoint", at("kept")}).exit_code, 0);
  std::ofstream(at("report"), std::ios::trunc) << "{\"schema\": \"zero.st";
  ASSERT_EQ(run_job("report", 4, {"--checkpoint", at("kept"), "--resume"}).exit_code, 0);
  std::ifstream file(at("report"));
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "{\"schema\": \"zero.st");
  std::getline(file, line);
  EXPECT_EQ(json::parse(line).at("schema"), "zero.resume/1");
}

TEST_F(Checkpoints, ADamagedOneIsPassedOverAloud) {
  ASSERT_EQ(run_job("report", 6, {"--checkpoint", at("kept"), "--save-every", "3", "--keep", "0"})
                .exit_code,
            0);
  flip("kept/step-000000000006/rank-00001-of-00002.safetensors", 9000);
  const ran r = run_job("more", 6, {"--checkpoint", at("kept"), "--resume"});
  EXPECT_EQ(r.exit_code, 0) << r.errors;
  EXPECT_NE(r.errors.find("passed over step-000000000006"), std::string::npos) << r.errors;
  EXPECT_NE(r.errors.find("rank-00001-of-00002.safetensors"), std::string::npos) << r.errors;
  EXPECT_EQ(steps_of(lines_of("more", "zero.step/1")), (std::vector<int>{4, 5, 6}));
  EXPECT_EQ(lines_of("more").back().at("parameters_digest"),
            lines_of("report").back().at("parameters_digest"));
  EXPECT_EQ(run({ZERO_COMMAND, "checkpoint", "verify", at("kept")}).exit_code, 0);
}

// Nor may what it leaves behind hinder the runs after.
TEST_F(Checkpoints, AFolderWhereAFileBelongsIsPassedOver) {
  for (const char* part : {"manifest.json", "rank-00001-of-00002.safetensors"}) {
    const std::string kept = "kept " + std::string(part);
    const words saving{"--checkpoint", at(kept), "--save-every", "3", "--keep", "0"};
    ASSERT_EQ(run_job("report", 6, saving).exit_code, 0);
    fs::remove(at(kept + "/step-000000000006/" + part));
    fs::create_directories(at(kept + "/step-000000000006/" + part + "/more"));
    const ran first = run_job("more", 6, joined(saving, {"--resume"}));
    EXPECT_EQ(first.exit_code, 0) << first.errors;
    EXPECT_NE(first.errors.find("passed over step-000000000006"), std::string::npos)
        << first.errors;
    EXPECT_NE(first.errors.find("goes on from step-000000000003"), std::string::npos)
        << first.errors;
    const ran second = run_job("more", 9, joined(saving, {"--resume"}));
    EXPECT_EQ(second.exit_code, 0) << second.errors;
    EXPECT_NE(second.errors.find("goes on from step-000000000006"), std::string::npos)
        << second.errors;
    EXPECT_EQ(run({ZERO_COMMAND, "checkpoint", "verify", at(kept)}).exit_code, 0);
  }
}

// What it would do from then on would be lost.
TEST_P(At, ARunThatWasTakenOverEndsAtItsNextSave) {
  running r(
      job("report", 1000000, joined({"--checkpoint", at("kept"), "--save-every", "1"}, how())),
      {mark_});
  while (lines_of("report", "zero.checkpoint/1").size() < 2) usleep(1000);
  std::ofstream(at("kept/.epoch-99")) << "";
  const ran ended = r.finish();
  EXPECT_EQ(ended.exit_code, 2) << ended.errors;
  EXPECT_NE(ended.errors.find("was taken over by another run: its owner has epoch 99"),
            std::string::npos)
      << ended.errors;
  EXPECT_TRUE(lines_of("report", "zero.checkpoint_failed/1").empty());
  EXPECT_TRUE(all_gone(mark_, 0.5));
}

TEST_F(Checkpoints, WhereNoneIsWholeNothingIsTrained) {
  ASSERT_EQ(run_job("report", 2, {"--checkpoint", at("kept")}).exit_code, 0);
  flip("kept/step-000000000002/manifest.json", 77);
  const ran r = run_job("more", 4, {"--checkpoint", at("kept"), "--resume"});
  EXPECT_EQ(r.exit_code, 5) << r.errors;
  EXPECT_NE(r.errors.find("manifest.json"), std::string::npos) << r.errors;
  EXPECT_FALSE(fs::exists(at("more")));
  EXPECT_EQ(checkpoints_in("kept").size(), 1U);
}

TEST_F(Checkpoints, AnotherModelIsRefused) {
  ASSERT_EQ(run_job("report", 2, {"--checkpoint", at("kept")}).exit_code, 0);
  const ran r = run_job("more", 4, {"--checkpoint", at("kept"), "--resume", "--optimizer", "lion"});
  expect_refused(r, "lion");
}

TEST_F(Checkpoints, OthersAreNotMixedIn) {
  ASSERT_EQ(run_job("report", 2, {"--checkpoint", at("kept")}).exit_code, 0);
  expect_refused(run_job("more", 4, {"--checkpoint", at("kept")}),
                 "already holds step-000000000002; give --resume");
  EXPECT_FALSE(fs::exists(at("more")));
}

TEST_F(Checkpoints, OneRunAtATime) {
  running first(job("report", 1000000, {"--checkpoint", at("kept"), "--save-every", "1"}), {mark_});
  while (lines_of("report", "zero.checkpoint/1").empty()) usleep(1000);
  const ran second = run_job("more", 4, {"--checkpoint", at("kept"), "--resume"});
  expect_refused(second, "is used by another run: host ");
  EXPECT_NE(second.errors.find("process "), std::string::npos) << second.errors;
  const std::size_t before = lines_of("report", "zero.checkpoint/1").size();
  while (lines_of("report", "zero.checkpoint/1").size() < before + 3) usleep(1000);
  kill(first.id(), SIGTERM);
  EXPECT_EQ(first.finish().exit_code, 128 + SIGTERM);
}

// Ranks of a launcher that starts them again resume without being told.
TEST_F(Checkpoints, RanksOfALauncherGoOnWhenTheyAreStartedAgain) {
  const words trained = train({"--stage", "2", "--steps", "6", "--checkpoint", at("kept"),
                               "--save-every", "2", "--json", at("report")});
  const std::string script =
      "if [ $ZERO_RESTART = 0 ]; then \"$@\" --steps 4; exit 9; fi; exec \"$@\" --steps 6";
  words command = joined(
      {ZERO_COMMAND, "launch", "-n", "2", "--max-restarts", "1", "--", "sh", "-c", script, "sh"},
      train({"--stage", "2", "--checkpoint", at("kept"), "--save-every", "2", "--schedule",
             "constant", "--warmup-steps", "0", "--json", at("report")}));
  const ran r = run(command, {mark_});
  EXPECT_EQ(r.exit_code, 0) << r.errors;
  EXPECT_EQ(steps_of(lines_of("report", "zero.step/1")), (std::vector<int>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(lines_of("report", "zero.resume/1").size(), 1U);
}

TEST_F(Checkpoints, OptionsThatMakeNoSense) {
  for (const words& options : {words{"--resume"}, words{"--save-every", "3"}, words{"--keep", "1"},
                               words{"--checkpoint-async"}}) {
    expect_refused(run(train(options)), options.front() + " needs --checkpoint DIR");
  }
  expect_refused(run(train({"--checkpoint", at("kept"), "--save-every", "0"})),
                 "--save-every: '0'");
  expect_refused(run(train({"--checkpoint", at("kept"), "--keep", "-1"})), "--keep: '-1'");
  expect_refused(run(train({"--checkpoint", at("text")})), "--checkpoint: ");
  expect_refused(run(train({"--max-restarts", "2"}), {"RANK=0", "WORLD_SIZE=1"}),
                 "--max-restarts 2");
  EXPECT_FALSE(fs::exists(at("kept")));
}

}  // namespace
}  // namespace zero::test
