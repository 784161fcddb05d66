// A comparison whose trainer is a script: what no real run should ever do is told here to it, so
// that the verdict is seen to be one.

#include "compare/compare.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace zero::cli {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

json run_of(int stage) {
  const json bytes{{"parameters", 10}, {"gradients", 20}, {"optimizer", 30}, {"buffers", 40},
                   {"host", 0},        {"disk", 0},       {"peak", 90}};
  return {{"schema", "zero.run/1"},
          {"model", {{"name", "gpt-3m"}}},
          {"text", {{"bytes", 1}, {"sha256", "00"}, {"files", json::array()}}},
          {"stage", stage},
          {"offload", "none"},
          {"ranks", 1},
          {"losses", {5.0}},
          {"parameters_digest", "00112233445566778899aabbccddeeff"},
          {"step_seconds", {{"median", 1.0}, {"min", 1.0}, {"max", 1.0}}},
          {"tokens_per_second", 1.0},
          {"memory", {{{"rank", 0}, {"predicted", bytes}, {"measured", bytes}}}},
          {"communication",
           {{{"rank", 0}, {"all_gather", 0}, {"reduce_scatter", 0}, {"all_reduce", 0}}}}};
}

class Compare : public testing::Test {
 protected:
  Compare() {
    std::string pattern = (fs::temp_directory_path() / "zero_compare_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    options_.ranks = 1;
    options_.stages = {"0", "3"};
    options_.output = (folder_ / "out").string();
    // Sends the file named after its stage, and ends as the file "code" says.
    std::ofstream script(folder_ / "trainer");
    script << "#!/bin/sh\n"
              "for option; do case $option in --stage=*) stage=${option#--stage=};; esac; done\n"
              "cd '"
           << folder_.string()
           << "'\n"
              "cat \"stage$stage\" > \"/dev/fd/$ZERO_RESULT_FD\"\n"
              "exit \"$(cat code)\"\n";
    script.close();
    chmod((folder_ / "trainer").c_str(), 0755);
    tell("code", "0");
    tell("stage0", run_of(0).dump());
    tell("stage3", run_of(3).dump());
  }
  ~Compare() override { fs::remove_all(folder_); }

  void tell(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text << "\n";
  }
  int run() {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    int code = -1;
    try {
      signal_watch signals;
      code = compare(options_, {"zero", "compare"}, (folder_ / "trainer").string(), signals);
    } catch (const error& e) {
      code = static_cast<int>(e.kind());
      thrown_ = e.what();
    }
    output_ = testing::internal::GetCapturedStdout();
    errors_ = testing::internal::GetCapturedStderr();
    return code;
  }
  [[nodiscard]] bool wrote() const { return fs::exists(folder_ / "out/compare.json"); }

  fs::path folder_;
  compare_options options_;
  std::string output_;
  std::string errors_;
  std::string thrown_;
};

TEST_F(Compare, IsContentWithEqualRuns) {
  EXPECT_EQ(run(), 0) << errors_ << thrown_;
  EXPECT_NE(output_.find("bit for bit"), std::string::npos);
  EXPECT_TRUE(wrote());
}

TEST_F(Compare, FailsOnOneOtherBit) {
  json other = run_of(3);
  other["parameters_digest"] = "10112233445566778899aabbccddeeff";
  tell("stage3", other.dump());
  EXPECT_EQ(run(), 1);
  EXPECT_NE(errors_.find("stage 3: parameters 1011"), std::string::npos) << errors_;
  EXPECT_EQ(output_.find("bit for bit"), std::string::npos);
  EXPECT_TRUE(wrote());  // what was found is worth keeping
}

TEST_F(Compare, FailsOnOneOtherByte) {
  json other = run_of(0);
  other["memory"][0]["measured"]["peak"] = 91;
  tell("stage0", other.dump());
  EXPECT_EQ(run(), 1);
  EXPECT_NE(errors_.find("stage 0, rank 0: peak predicted 90 bytes, measured 91"),
            std::string::npos)
      << errors_;
}

TEST_F(Compare, EndsWithTheErrorOfARun) {
  tell("stage3", R"({"schema": "zero.error/1", "kind": 5, "message": "'f' at byte 7: no"})");
  EXPECT_EQ(run(), 1) << "it said so and ended with 0 all the same: no report";
  EXPECT_NE(errors_.find("without a report"), std::string::npos) << errors_;
  tell("code", "5");
  tell("stage0", R"({"schema": "zero.error/1", "kind": 5, "message": "'f' at byte 7: no"})");
  EXPECT_EQ(run(), 5);
  EXPECT_EQ(errors_, "zero compare: rank 0: 'f' at byte 7: no\n");
  EXPECT_FALSE(wrote());
}

// On a GPU the ranks are threads of one process, which says whose words it passes on.
TEST_F(Compare, NamesTheRankOfAThread) {
  tell("code", "4");
  tell("stage0", R"({"schema": "zero.error/1", "kind": 4, "message": "differs", "rank": 3})");
  EXPECT_EQ(run(), 4);
  EXPECT_EQ(errors_, "zero compare: rank 3: differs\n");
}

TEST_F(Compare, RefusesNonsense) {
  tell("stage0", "not JSON");
  EXPECT_EQ(run(), 1);
  EXPECT_NE(thrown_.find("not JSON"), std::string::npos) << thrown_;
  EXPECT_FALSE(wrote());
}

}  // namespace
}  // namespace zero::cli
