// `zero train` and `zero compare` with state on every tier: the same bits, memory and traffic as
// predicted, budgets that hold, and nothing left behind.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

// Large enough that tiers take less than what they need themselves.
const std::vector<std::string> small{"--layers",     "4",   "--channels", "128", "--heads", "2",
                                     "--vocabulary", "257", "--context",  "8",   "--steps", "2"};

class Offload : public ::testing::Test {
 protected:
  Offload() {
    std::string pattern = (fs::temp_directory_path() / "zero offload XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    fs::create_directory(folder_ / "swap");
    std::ofstream text(at("text"));
    for (int i = 0; i < 500; ++i) text << "line " << i % 7 << " of the text\n";
  }
  ~Offload() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] ran zero(const std::string& subcommand, const std::vector<std::string>& options,
                         const std::vector<std::string>& environment = {}) const {
    std::vector<std::string> command{ZERO_COMMAND, subcommand, "--text", at("text")};
    command.insert(command.end(), small.begin(), small.end());
    command.insert(command.end(), options.begin(), options.end());
    return run(command, environment);
  }
  [[nodiscard]] json last_line(const std::string& name) const {
    std::ifstream file(at(name));
    std::string last;
    for (std::string line; std::getline(file, line);) last = line;
    return json::parse(last);
  }

  static void expect_predicted(const json& run) {
    for (const json& rank : run.at("memory")) {
      for (const auto& [account, bytes] : rank.at("predicted").items()) {
        EXPECT_EQ(rank.at("measured").at(account), bytes) << account;
      }
    }
    for (const json& rank : run.at("offload_io")) {
      for (const auto& [way, bytes] : rank.at("predicted").items()) {
        EXPECT_EQ(rank.at(way), bytes) << way;
      }
    }
  }

  fs::path folder_;
};

struct training {
  const char* name;
  std::vector<std::string> options;
};

class Compared : public Offload, public ::testing::WithParamInterface<training> {};

TEST_P(Compared, EveryTierHasTheSameBitsAndThePredictedBytes) {
  std::vector<std::string> options{"--ranks",     "2",        "--offload", "none,cpu,nvme",
                                   "--nvme-path", at("swap"), "--output",  at("out")};
  options.insert(options.end(), GetParam().options.begin(), GetParam().options.end());
  const ran r = zero("compare", options);
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  std::ifstream file(at("out/compare.json"));
  const json runs = json::parse(file).at("runs");
  ASSERT_EQ(runs.size(), 12U);
  std::map<std::string, int> seen;
  for (const json& run : runs) {
    EXPECT_EQ(run.at("parameters_digest"), runs.at(0).at("parameters_digest"));
    expect_predicted(run);
    const auto offload = run.at("offload").get<std::string>();
    ++seen[offload];
    const bool shards_parameters = run.at("stage") == 3;
    EXPECT_EQ(run.at("offload_optimizer"), offload);
    EXPECT_EQ(run.at("offload_gradients"), run.at("stage") >= 2 ? offload : "none");
    EXPECT_EQ(run.at("offload_parameters"), shards_parameters ? offload : "none");
    const json& memory = run.at("memory").at(0).at("measured");
    const json& moved = run.at("offload_io").at(0);
    EXPECT_EQ(memory.at("optimizer") == 0, offload != "none");
    EXPECT_EQ(memory.at("parameters") == 0, offload != "none" && shards_parameters);
    EXPECT_EQ(memory.at("disk") > 0, offload == "nvme");
    EXPECT_EQ(memory.at("host") > 0, offload != "none");
    double written = 0;
    for (const json& rank : run.at("offload_io")) written += rank.at("disk_written").get<double>();
    const json& wear = run.at("disk_wear");
    EXPECT_NEAR(wear.at("written_per_step").get<double>(), written, 1);
    EXPECT_NEAR(wear.at("written_per_day").get<double>() *
                    run.at("step_seconds").at("median").get<double>(),
                written * 86400, 1e-6 * written * 86400 + 1);
    EXPECT_EQ(moved.at("disk_read") > 0, offload == "nvme");
    EXPECT_EQ(moved.at("device_to_host") > 0, offload != "none");
  }
  EXPECT_EQ(seen, (std::map<std::string, int>{{"none", 4}, {"cpu", 4}, {"nvme", 4}}));
  EXPECT_NE(r.output.find("disk"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(at("swap")));
}

INSTANTIATE_TEST_SUITE_P(
    Of, Compared,
    ::testing::Values(training{"fp32", {}}, training{"bf16", {"--dtype", "bf16"}},
                      training{"accumulated", {"--accumulate", "3", "--batch", "7"}},
                      training{"narrow",
                               {"--dtype", "bf16", "--gradient-dtype", "same", "--accumulate", "2",
                                "--batch", "6", "--clip-norm", "0"}},
                      training{"few_bits",
                               {"--dtype", "bf16", "--optimizer-states", "block8", "--master",
                                "remainder"}}),
    [](const auto& one) { return std::string(one.param.name); });

TEST_F(Offload, OfAShareAndOfGradientsAlone) {
  json digest;
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{},
        {"--offload-optimizer", "nvme", "--offload-ratio", "0.5"},
        {"--offload-optimizer", "cpu", "--offload-ratio", "0.5", "--offload-gradients", "nvme"},
        {"--offload-gradients", "cpu", "--offload-parameters", "nvme"}}) {
    std::vector<std::string> all{"--ranks",     "2",        "--stage", "3",
                                 "--nvme-path", at("swap"), "--json",  at("json")};
    all.insert(all.end(), options.begin(), options.end());
    const ran r = zero("train", all);
    ASSERT_EQ(r.exit_code, 0) << r.errors;
    const json run = last_line("json");
    expect_predicted(run);
    if (digest.is_null()) digest = run.at("parameters_digest");
    EXPECT_EQ(run.at("parameters_digest"), digest);
    if (options.size() == 4 && options[3] == "0.5") {
      const json& memory = run.at("memory").at(0).at("measured");
      EXPECT_GT(memory.at("optimizer"), 0);
      EXPECT_GT(memory.at("disk"), 0);
      EXPECT_EQ(run.at("offload_ratio"), 0.5);
      EXPECT_EQ(run.at("offload_gradients"), "none");
    }
  }
  EXPECT_TRUE(fs::is_empty(at("swap")));
}

// The budget is the peak of memory, and the choice is the same that train prints and reports.
TEST_F(Offload, ABudgetChoosesAndHolds) {
  const std::vector<std::string> options{"--ranks", "2", "--stage", "3", "--json", at("json")};
  const auto with = [&](const std::string& budget) {
    std::vector<std::string> all = options;
    all.insert(all.end(), {"--memory-budget", budget});
    return zero("train", all, {"TMPDIR=" + at("swap")});
  };
  const ran roomy = with("1GiB");
  ASSERT_EQ(roomy.exit_code, 0) << roomy.errors;
  const json free = last_line("json");
  EXPECT_EQ(free.at("offload"), "none");
  const auto peak = free.at("memory").at(0).at("measured").at("peak").get<std::uint64_t>();

  const ran refused = with("1KiB");
  EXPECT_EQ(refused.exit_code, 6);
  EXPECT_EQ(lines_in(refused.errors), 1) << refused.errors;
  const std::string mark = "the smallest that would do is ";
  const std::size_t place = refused.errors.find(mark);
  ASSERT_NE(place, std::string::npos) << refused.errors;
  const std::uint64_t smallest = std::stoull(refused.errors.substr(place + mark.size()));
  EXPECT_LT(smallest, peak);

  const ran tight = with(std::to_string(smallest));
  ASSERT_EQ(tight.exit_code, 0) << tight.errors;
  EXPECT_NE(tight.errors.find("optimizer states on nvme"), std::string::npos) << tight.errors;
  EXPECT_NE(tight.errors.find("swap files in " + at("swap")), std::string::npos) << tight.errors;
  const json run = last_line("json");
  expect_predicted(run);
  EXPECT_EQ(run.at("offload"), "nvme");
  EXPECT_EQ(run.at("memory").at(1).at("measured").at("peak"), smallest);
  EXPECT_EQ(run.at("parameters_digest"), free.at("parameters_digest"));
  EXPECT_TRUE(fs::is_empty(at("swap")));
}

// A file system without direct I/O is told once, whatever the number of ranks and runs.
TEST_F(Offload, WhatIsNotAsOneWouldWishIsSaidOnce) {
  if (!fs::is_directory("/dev/shm")) GTEST_SKIP() << "there is no file system in memory here";
  const ran r = zero("compare", {"--ranks", "2", "--stages", "2,3", "--offload", "nvme",
                                 "--nvme-path", "/dev/shm", "--output", at("out")});
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  const std::string mark = "page cache";
  const std::size_t first = r.errors.find(mark);
  ASSERT_NE(first, std::string::npos) << r.errors;
  EXPECT_EQ(r.errors.find(mark, first + 1), std::string::npos) << r.errors;
}

}  // namespace
}  // namespace zero::test
