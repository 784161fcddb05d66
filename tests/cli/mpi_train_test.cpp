// `mpirun -n N zero train`: the ranks of another launcher, the same bits as those it starts itself.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

class MpiTrain : public testing::Test {
 protected:
  MpiTrain()
      : mark_("ZERO_TEST_MARK=" + std::to_string(getpid()) +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::string pattern = (fs::temp_directory_path() / "zero mpi XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::ofstream text(at("text"));
    for (int i = 0; i < 500; ++i) text << "line " << i % 7 << " of the text\n";
  }
  ~MpiTrain() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }

  [[nodiscard]] std::vector<std::string> train(const std::vector<std::string>& options) const {
    std::vector<std::string> command{
        ZERO_COMMAND, "train",        "--layers", "1",         "--channels", "8",      "--heads",
        "2",          "--vocabulary", "256",      "--context", "8",          "--text", at("text")};
    command.insert(command.end(), options.begin(), options.end());
    return command;
  }
  [[nodiscard]] std::vector<std::string> on_ranks(int ranks,
                                                  const std::vector<std::string>& options) const {
    std::vector<std::string> command{ZERO_MPIEXEC, "-n", std::to_string(ranks)};
    const std::vector<std::string> each = train(options);
    command.insert(command.end(), each.begin(), each.end());
    return command;
  }
  [[nodiscard]] std::vector<json> lines_of(const std::string& name) const {
    std::vector<json> lines;
    std::ifstream file(at(name));
    for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
    return lines;
  }

  // Lines that are there so far, the last perhaps not whole.
  [[nodiscard]] int lines_written(const std::string& name) const {
    std::ifstream file(at(name));
    int lines = 0;
    for (std::string line; std::getline(file, line);) ++lines;
    return lines;
  }

  std::string mark_;
  fs::path folder_;
};

TEST_F(MpiTrain, HasTheBitsOfRanksOfItsOwn) {
  for (const int ranks : {2, 3}) {
    for (const char* stage : {"0", "1", "2", "3"}) {
      SCOPED_TRACE(std::to_string(ranks) + " ranks, stage " + stage);
      std::vector<std::string> options{"--stage", stage,     "--steps", "3",      "--batch",
                                       "6",       "--dtype", "bf16",    "--json", at("mpi")};
      const ran launched = run(on_ranks(ranks, options), {mark_});
      ASSERT_EQ(launched.exit_code, 0) << launched.errors;
      options.back() = at("own");
      options.insert(options.end(), {"--ranks", std::to_string(ranks)});
      ASSERT_EQ(run(train(options)).exit_code, 0);
      const std::vector<json> found = lines_of("mpi");
      const std::vector<json> expected = lines_of("own");
      ASSERT_EQ(found.size(), 4U);
      EXPECT_EQ(found.back().at("parameters_digest"), expected.back().at("parameters_digest"));
      EXPECT_EQ(found.back().at("losses"), expected.back().at("losses"));
      ASSERT_EQ(found.back().at("communication").size(), static_cast<std::size_t>(ranks));
      // One host: nothing crosses.
      for (const json& rank : found.back().at("communication")) EXPECT_EQ(rank.at("crossed"), 0);
      // Only one rank speaks.
      EXPECT_EQ(launched.output.find("rank 1:"), std::string::npos) << launched.output;
      const std::size_t first = launched.output.find("parameters, ");
      EXPECT_NE(first, std::string::npos) << launched.output;
      EXPECT_EQ(launched.output.find("parameters, ", first + 1), std::string::npos);
    }
  }
  EXPECT_TRUE(all_gone(mark_, 5));
}

TEST_F(MpiTrain, SaysOnceWhatIsWrongOnAllRanks) {
  for (const auto& [options, word] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--stage", "4"}, "'4'"},
           {{"--ranks", "2"}, "disagrees"},
           {{"--batch", "1"}, "--batch"}}) {
    const ran r = run(on_ranks(3, options), {mark_});
    EXPECT_EQ(r.exit_code, 2) << r.errors;
    const std::size_t first = r.errors.find("zero train: ");
    ASSERT_NE(first, std::string::npos) << r.errors;
    EXPECT_NE(r.errors.find(word), std::string::npos) << r.errors;
    EXPECT_EQ(r.errors.find("zero train: ", first + 1), std::string::npos) << r.errors;
  }
}

TEST_F(MpiTrain, EndsWithARankThatIsKilled) {
  running launched(on_ranks(3, {"--steps", "100000", "--batch", "3", "--json", at("run")}),
                   {mark_});
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (lines_written("run") < 3 && std::chrono::steady_clock::now() < until) usleep(10'000);
  std::vector<pid_t> ranks;
  for (const pid_t id : processes_marked(mark_)) {
    std::error_code missing;
    const auto program = fs::read_symlink("/proc/" + std::to_string(id) + "/exe", missing);
    if (program.filename() == fs::path(ZERO_COMMAND).filename()) ranks.push_back(id);
  }
  ASSERT_EQ(ranks.size(), 3U);
  kill(ranks.back(), SIGKILL);
  const ran r = launched.finish();
  EXPECT_NE(r.exit_code, 0);
  EXPECT_TRUE(all_gone(mark_, 10));
}

}  // namespace
}  // namespace zero::test
