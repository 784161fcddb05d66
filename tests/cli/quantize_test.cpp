// `zero train` and `zero compare` with collectives in codes: a real model learns nearly as well,
// stages still agree, and what is reported is what was asked for and predicted.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

class Quantize : public testing::Test {
 protected:
  Quantize() {
    std::string pattern = (fs::temp_directory_path() / "zero_quantize_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::ofstream text(at("text"));
    for (int i = 0; i < 2000; ++i) text << "line " << i % 7 << " of " << i * i % 97 << " texts\n";
  }
  ~Quantize() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  ran zero(std::vector<std::string> command) const {
    command.insert(command.begin(), ZERO_COMMAND);
    command.insert(command.end(), {"--text", at("text")});
    return run(command);
  }
  // The report of a run of gpt-3m.
  json trained(const std::vector<std::string>& more) const {
    std::vector<std::string> command{
        "train", "--ranks", "4",    "--stage",         "3",    "--steps", "50",          "--batch",
        "4",     "--dtype", "bf16", "--learning-rate", "1e-3", "--json",  at("run.json")};
    command.insert(command.end(), more.begin(), more.end());
    const ran r = zero(command);
    EXPECT_EQ(r.exit_code, 0) << r.errors;
    json last;
    std::ifstream file(at("run.json"));
    for (std::string line; std::getline(file, line);) last = json::parse(line);
    return last;
  }
  // The runs of a comparison on a model of a few thousand parameters.
  json compared(const std::vector<std::string>& more) {
    std::vector<std::string> command{"compare",
                                     "--ranks",
                                     "4",
                                     "--layers",
                                     "2",
                                     "--channels",
                                     "16",
                                     "--heads",
                                     "2",
                                     "--context",
                                     "8",
                                     "--vocabulary",
                                     "256",
                                     "--steps",
                                     "6",
                                     "--stages",
                                     "0,1,2,3,hybrid,hpz",
                                     "--shard-group",
                                     "2",
                                     "--dtype",
                                     "bf16",
                                     "--accumulate",
                                     "2",
                                     "--batch",
                                     "8",
                                     "--output",
                                     at("out")};
    command.insert(command.end(), more.begin(), more.end());
    said_ = zero(command);
    EXPECT_EQ(said_.exit_code, 0) << said_.errors << said_.output;
    std::ifstream file(at("out/compare.json"));
    return json::parse(file).at("runs");
  }

  fs::path folder_;
  ran said_;
};

double mean_of_last(const json& losses, std::size_t count) {
  double sum = 0;
  for (std::size_t i = losses.size() - count; i < losses.size(); ++i)
    sum += losses[i].get<double>();
  return sum / static_cast<double>(count);
}

std::uint64_t moved(const json& run) {
  const json& rank = run.at("communication").at(0);
  std::uint64_t bytes = 0;
  for (const char* kind : {"all_gather", "reduce_scatter", "all_to_all"}) {
    EXPECT_EQ(rank.at(kind), rank.at("predicted").at(kind)) << kind;
    bytes += rank.at(kind).get<std::uint64_t>();
  }
  return bytes;
}

// 50 steps, in which the loss falls from that of chance; codes cost 2 % of that fall at most.
TEST_F(Quantize, AModelLearnsNearlyAsWell) {
  const json plain = trained({});
  const json coded =
      trained({"--quantize-gather", "8", "--quantize-reduce", "4", "--shard-group", "2"});
  const double there = mean_of_last(plain.at("losses"), 5);
  const double fall = plain.at("losses")[0].get<double>() - there;
  EXPECT_GT(fall, 2.0);
  EXPECT_NEAR(mean_of_last(coded.at("losses"), 5), there, 0.02 * fall);
  EXPECT_NE(coded.at("parameters_digest"), plain.at("parameters_digest"));
  EXPECT_LT(moved(coded), moved(plain) / 2);
  EXPECT_EQ(plain.at("quantize_gather"), 0);
  EXPECT_EQ(coded.at("quantize_gather"), 8);
  EXPECT_EQ(coded.at("quantize_reduce"), 4);
}

TEST_F(Quantize, StagesAgreeOnGradientsReducedInCodes) {
  const json plain = compared({});
  const json coded = compared({"--quantize-reduce", "4"});
  EXPECT_NE(said_.output.find("bit for bit, in 6 runs;"), std::string::npos) << said_.output;
  for (std::size_t i = 0; i < coded.size(); ++i) {
    EXPECT_EQ(coded[i].at("quantize_reduce"), 4);
    EXPECT_EQ(coded[i].at("parameters_digest"), coded[0].at("parameters_digest"));
    EXPECT_GT(coded[i].at("communication").at(0).at("all_to_all"), 0);
    EXPECT_LT(moved(coded[i]), moved(plain[i]));
  }
  EXPECT_NE(coded[0].at("parameters_digest"), plain[0].at("parameters_digest"));
}

TEST_F(Quantize, RunsThatGatherInCodesAgreeAmongThemselves) {
  const json runs = compared({"--quantize-gather", "8"});
  EXPECT_NE(said_.output.find("in 3 runs, and in 3 runs that gathered them in codes"),
            std::string::npos)
      << said_.output;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    EXPECT_EQ(runs[i].at("quantize_gather"), i < 3 ? 0 : 8);
    EXPECT_EQ(runs[i].at("parameters_digest"), runs[i < 3 ? 0 : 3].at("parameters_digest"));
  }
  EXPECT_NE(runs[0].at("parameters_digest"), runs[3].at("parameters_digest"));
}

TEST_F(Quantize, OtherBitsAreRefused) {
  for (const auto& [option, value] :
       {std::pair{"--quantize-gather", "4"}, {"--quantize-reduce", "16"}}) {
    const ran r = zero({"train", option, value});
    EXPECT_EQ(r.exit_code, 2);
    EXPECT_NE(r.errors.find(option), std::string::npos) << r.errors;
    EXPECT_NE(r.errors.find("off"), std::string::npos) << r.errors;
  }
}

}  // namespace
}  // namespace zero::test
