// A disk that is full when a checkpoint is to be saved: it is said, training goes on, and the exit
// code is that of a resource that ran out unless a later one was saved.

#include "cli/checkpoint_scratch.hpp"
#include "process/small_disk.hpp"

#include <algorithm>

namespace zero::test {
namespace {

namespace fs = std::filesystem;

class FullDisk : public Checkpoints, public testing::WithParamInterface<bool> {
 protected:
  [[nodiscard]] static words how() { return GetParam() ? words{"--checkpoint-async"} : words{}; }
  // Leaves less room than a checkpoint takes.
  static void fill(const small_disk& disk) {
    std::ofstream file(disk.path() + "/other");
    const std::string block(1U << 12U, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
};

INSTANTIATE_TEST_SUITE_P(OnceOrInTheBackground, FullDisk, testing::Bool());

TEST_P(FullDisk, IsSaidAndTrainingGoesOn) {
  const small_disk disk(folder_.string(), 8);
  if (!disk.why().empty()) GTEST_SKIP() << disk.why();
  const std::string kept = disk.path() + "/kept";
  ASSERT_EQ(run_job("before", 3, joined({"--checkpoint", kept}, how())).exit_code, 0);
  fill(disk);
  const words resume = joined({"--checkpoint", kept, "--save-every", "2", "--resume"}, how());
  const ran r = run_job("full", 6, resume);
  EXPECT_EQ(r.exit_code, 6) << r.errors;
  EXPECT_EQ(steps_of(lines_of("full", "zero.step/1")), (std::vector<int>{4, 5, 6}));
  const auto failed = lines_of("full", "zero.checkpoint_failed/1");
  EXPECT_EQ(steps_of(failed), (std::vector<int>{4, 6}));
  for (const json& line : failed) EXPECT_EQ(line.at("errno"), ENOSPC) << line;
  EXPECT_TRUE(lines_of("full", "zero.checkpoint/1").empty());
  EXPECT_EQ(lines_of("full").back().at("checkpoints").at("failed"), 2);
  EXPECT_NE(r.errors.find("no checkpoint of step 4: "), std::string::npos) << r.errors;
  EXPECT_NE(r.errors.find("training goes on"), std::string::npos) << r.errors;

  fs::remove(disk.path() + "/other");
  const ran after = run_job("after", 6, resume);
  EXPECT_EQ(after.exit_code, 0) << after.errors;
  EXPECT_EQ(lines_of("after").front().at("step"), 3);
  EXPECT_EQ(lines_of("after").back().at("parameters_digest"),
            lines_of("full").back().at("parameters_digest"));
}

}  // namespace
}  // namespace zero::test
