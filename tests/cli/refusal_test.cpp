// What `zero train` refuses because it would destroy something or train silently wrong.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace zero::test {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> tiny{ZERO_COMMAND,   "train", "--layers",  "1", "--channels", "8",
                                    "--heads",      "2",     "--context", "8", "--steps",    "2",
                                    "--vocabulary", "256"};

class Refusal : public ::testing::Test {
 protected:
  Refusal() {
    std::string pattern = (fs::temp_directory_path() / "zero refusal XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    for (const char* name : {"text", "other"}) {
      std::ofstream text(at(name));
      for (int i = 0; i < 100; ++i) text << "line " << i % 7 << " of " << name << "\n";
    }
  }
  ~Refusal() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] ran train(const std::vector<std::string>& options) const {
    std::vector<std::string> command = tiny;
    command.insert(command.end(), options.begin(), options.end());
    return run(command, {});
  }
  static void expect_refused(const ran& r, const std::string& part) {
    EXPECT_EQ(r.exit_code, 2) << r.errors;
    EXPECT_NE(r.errors.find(part), std::string::npos) << r.errors;
    EXPECT_EQ(std::count(r.errors.begin(), r.errors.end(), '\n'), 1) << r.errors;
  }

  fs::path folder_;
};

TEST_F(Refusal, OutputsThatWouldReplaceWhatIsNoFile) {
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
  fs::create_symlink(at("other"), at("link"));
  for (const char* option : {"--export", "--trace"}) {
    for (const char* name : {"pipe", "link"}) {
      expect_refused(train({"--text", at("text"), option, at(name)}), option);
    }
  }
  EXPECT_TRUE(fs::is_fifo(at("pipe")));
  EXPECT_TRUE(fs::is_symlink(at("link")));
}

TEST_F(Refusal, OneFileForTwoThings) {
  expect_refused(train({"--text", at("text"), "--json", at("text")}), "--text");
  expect_refused(train({"--text", at("text"), "--export", at("x"), "--json", at("./x")}),
                 "--export");
  EXPECT_GT(fs::file_size(at("text")), 1000U);
  EXPECT_FALSE(fs::exists(at("x")));
}

TEST_F(Refusal, ConstantsThatDivideByZero) {
  expect_refused(train({"--text", at("text"), "--beta1", "1"}), "--beta1");
  expect_refused(train({"--text", at("text"), "--beta2", "0.9999999"}), "--beta2");
}

// Rank 0 and rank 1 of one world are given different things.
class Differing : public Refusal,
                  public ::testing::WithParamInterface<std::pair<std::string, std::string>> {};

TEST_P(Differing, RanksAreToldBeforeTheyTrain) {
  const auto& [option, value] = GetParam();
  std::string script = "if [ $RANK = 1 ]; then set -- \"$@\" '" + option + "' '" +
                       (option == "--text" ? at(value) : value) + "'; fi; ";
  if (option != "--text")
    script += "set -- \"$@\" --text '" + at("text") + "'; ";
  else
    script += "if [ $RANK = 0 ]; then set -- \"$@\" --text '" + at("text") + "'; fi; ";
  script += "exec \"$@\"";
  std::vector<std::string> command{ZERO_COMMAND, "launch", "-n",   "2", "--",
                                   "sh",         "-c",     script, "sh"};
  command.insert(command.end(), tiny.begin(), tiny.end());
  const ran r = run(command, {});
  EXPECT_EQ(r.exit_code, 4) << r.errors;
  EXPECT_NE((r.output + r.errors).find(option + " is not the same on all ranks: rank 1"),
            std::string::npos)
      << r.output << r.errors;
}

INSTANTIATE_TEST_SUITE_P(
    Of, Differing,
    ::testing::Values(std::pair<std::string, std::string>{"--seed", "7"},
                      std::pair<std::string, std::string>{"--batch", "8"},
                      std::pair<std::string, std::string>{"--sequence", "4"},
                      std::pair<std::string, std::string>{"--learning-rate", "0.1"},
                      std::pair<std::string, std::string>{"--schedule", "linear"},
                      std::pair<std::string, std::string>{"--warmup-steps", "1"},
                      std::pair<std::string, std::string>{"--checkpoint", "nowhere"},
                      std::pair<std::string, std::string>{"--sample", "4"},
                      std::pair<std::string, std::string>{"--text", "other"}));

}  // namespace
}  // namespace zero::test
