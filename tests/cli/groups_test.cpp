// Stages with groups of ranks, through the real binary on a model of a few hundred parameters.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;
using words = std::vector<std::string>;

words joined(words first, const words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class Groups : public testing::Test {
 protected:
  Groups() {
    std::string pattern = (fs::temp_directory_path() / "zero groups XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::ofstream text(at("text"));
    for (int i = 0; i < 500; ++i) text << "line " << i % 7 << " of the text\n";
  }
  ~Groups() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] words command(const std::string& subcommand, const words& options) const {
    const words tiny{ZERO_COMMAND, subcommand, "--layers",     "1",   "--channels", "8",
                     "--heads",    "2",        "--vocabulary", "256", "--context",  "8",
                     "--text",     at("text")};
    return joined(tiny, options);
  }

  fs::path folder_;
};

TEST_F(Groups, AGroupIsTheRanksOfTheLaunchersHost) {
  const words options{"--steps", "2", "--stage", "hybrid"};
  const ran r = run(joined(
      {ZERO_COMMAND, "launch", "-n", "4", "--", "sh", "-c", "LOCAL_WORLD_SIZE=2 exec \"$@\"", "sh"},
      command("train", joined(options, {"--json", at("run")}))));
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  std::ifstream file(at("run"));
  json last;
  for (std::string line; std::getline(file, line);) last = json::parse(line);
  EXPECT_EQ(last.at("shard_group"), 2);
  EXPECT_EQ(last.at("policy"), "hybrid");
}

TEST_F(Groups, ComparesGroupsOfRanksAndPredictsEveryByteTheySay) {
  for (const char* group : {"", "2"}) {
    words options{"--ranks",  "4",       "--stages",     "0,3,hybrid,mics,hybrid1,hpz",
                  "--steps",  "3",       "--batch",      "8",
                  "--dtype",  "bf16",    "--prefetch",   "2",
                  "--output", at("out"), "--accumulate", "2"};
    if (*group != '\0') options = joined(options, {"--shard-group", group});
    const ran r = run(command("compare", options), {});
    ASSERT_EQ(r.exit_code, 0) << r.errors;
    std::ifstream file(at("out/compare.json"));
    const json runs = json::parse(file).at("runs");
    ASSERT_EQ(runs.size(), 6U);
    const words names{"0", "3", "hybrid", "mics", "hybrid1", "hpz"};
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const json& run = runs.at(i);
      EXPECT_EQ(run.at("policy"), names[i]);
      EXPECT_EQ(run.at("stage"), i == 0 ? 0 : 3);
      if (i < 2) {
        EXPECT_TRUE(run.at("shard_group").is_null());
      } else {
        EXPECT_EQ(run.at("shard_group"), *group == '\0' ? 4 : 2);
      }
      EXPECT_EQ(run.at("parameters_digest"), runs.at(0).at("parameters_digest"));
      ASSERT_EQ(run.at("communication").size(), 4U);
      for (const json& rank : run.at("communication")) {
        for (const auto& [what, bytes] : rank.at("predicted").items()) {
          EXPECT_EQ(rank.at(what), bytes) << names[i] << " " << what;
          // There is one host, and nothing goes in codes.
          EXPECT_EQ(bytes.get<std::uint64_t>() > 0, what != "crossed" && what != "all_to_all");
        }
      }
    }
  }
}

}  // namespace
}  // namespace zero::test
