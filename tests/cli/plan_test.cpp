// `zero plan`: figures that are known from elsewhere, what it refuses, and every byte it predicts
// against runs of `zero train`.

#include "cli/ran.hpp"
#include "support/sampling.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;
using words = std::vector<std::string>;

words operator+(words a, const words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

ran plan(const words& options) { return run(words{ZERO_COMMAND, "plan"} + options); }

json planned(const words& options) {
  const ran r = plan(options + words{"--json"});
  EXPECT_EQ(r.exit_code, 0) << r.errors;
  EXPECT_EQ(r.errors, "");
  return json::parse(r.output);
}

const json& run_of(const json& report, const std::string& policy, const std::string& offload) {
  for (const json& run : report.at("runs")) {
    if (run.at("policy") == policy && run.at("offload") == offload) return run;
  }
  ADD_FAILURE() << "no run of stage " << policy << ", offload " << offload;
  return report.at("runs").at(0);
}

// To the last digit shown in the paper on ZeRO.
TEST(Plan, OfThePapersModelIsThePapersTable) {
  const words model{"--parameters", "7.5e9", "--ranks",          "64",
                    "--dtype",      "bf16",  "--gradient-dtype", "same"};
  const json report = planned(model);
  EXPECT_EQ(report.at("schema"), "zero.plan/1");
  EXPECT_EQ(report.at("transients"), "left out");
  const char* const gigabytes[] = {"120.0", "31.4", "16.6", "1.9"};
  const double volumes[] = {2, 2, 2, 3};
  for (int stage = 0; stage < 4; ++stage) {
    const json& run = run_of(report, std::to_string(stage), "none");
    EXPECT_EQ(run.at("stage"), stage);
    EXPECT_EQ(run.at("ranks"), 64);
    ASSERT_EQ(run.at("memory").size(), 1U);
    const json& memory = run.at("memory").at(0);
    const json& predicted = memory.at("predicted");
    double state = 0;
    for (const char* kind : {"parameters", "gradients", "optimizer"}) {
      state += predicted.at(kind).get<double>();
    }
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", state / 1e9);
    EXPECT_STREQ(text, gigabytes[stage]);
    EXPECT_EQ(memory.at("state"), state);
    for (const char* kind : {"buffers", "peak"}) EXPECT_TRUE(predicted.at(kind).is_null());
    const double sent = run.at("communication").at(0).at("elements_sent").get<double>();
    EXPECT_NEAR(sent, volumes[stage] * 7.5e9 * 63 / 64, 1e-5 * sent) << stage;
  }
  const ran table = plan(model);
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_NE(table.output.find("left out"), std::string::npos);
}

TEST(Plan, OfAMillionRanksIsMadeAtOnce) {
  for (const char* stage : {"0,1,2,3", "hybrid,hybrid1,hpz"}) {
    const ran r =
        plan({"--parameters", "1e12", "--ranks", "1048576", "--ranks-per-node", "8", "--dtype",
              "bf16", "--gradient-dtype", "same", "--stages", stage, "--json"});
    ASSERT_EQ(r.exit_code, 0) << r.errors;
    EXPECT_LT(r.seconds, 1.0);
    const json report = json::parse(r.output);
    EXPECT_EQ(report.at("runs").size(), stage[0] == '0' ? 12U : 9U);
  }
  const json report = planned({"--parameters", "1e12", "--ranks", "1048576", "--dtype", "bf16",
                               "--gradient-dtype", "same"});
  // 16 bytes each on every rank; all that is sharded is padded to 128 elements a rank.
  EXPECT_EQ(run_of(report, "0", "none").at("memory").at(0).at("state"), 16'000'000'000'000);
  const std::uint64_t shard = (1'000'000'000'000 / 1048576 + 127) / 128 * 128;
  // Cells of 2^17 elements: a record of 12 bytes an element, and two of 2.
  std::uint64_t disk = 0;
  for (std::uint64_t left = shard; left > 0;) {
    const std::uint64_t cell = std::min<std::uint64_t>(left, 1U << 17U);
    for (const std::uint64_t each : {12, 2, 2}) disk += (cell * each + 4095) / 4096 * 4096;
    left -= cell;
  }
  EXPECT_EQ(run_of(report, "3", "nvme").at("memory").at(0).at("predicted").at("disk"), disk);
}

// 2^20 layers of a million channels are no model.
TEST(Plan, RefusesInOneLineWhatCannotBe) {
  struct refusal {
    words options;
    std::string part;
  };
  const refusal all[] = {
      {{"--parameters", "0"}, "--parameters: '0' is not accepted; expected a count from 1"},
      {{"--parameters", "-3"}, "--parameters: '-3' is not accepted"},
      {{"--parameters", "5e18"}, "--parameters: '5e18' is not accepted"},
      {{"--parameters", "1.1e16"}, "--parameters: '1.1e16' is not accepted"},
      {{"--layers", "16384", "--channels", "1048576", "--heads", "1", "--vocabulary", "8",
        "--context", "8"},
       "elements is not accepted; expected at most 10000000000000000"},
      {{"--parameters", "many"}, "--parameters: 'many' is not accepted"},
      {{"--parameters", "1e6", "--model", "gpt2"}, "--model gpt2 and --parameters exclude"},
      {{"--parameters", "1e6", "--layers", "4"}, "--layers also needs"},
      {{"--parameters", "1e6", "--layers", "4", "--channels", "256"},
       "--parameters 1000000 is not accepted with --layers 4 and --channels 256; their blocks "
       "alone have"},
      {{"--parameters", "1e6", "--layers", "1", "--channels", "8", "--heads", "2", "--vocabulary",
        "256", "--context", "8"},
       "which make 3000"},
      {{"--layers", "20000", "--channels", "8", "--heads", "1", "--vocabulary", "8", "--context",
        "8"},
       "--layers 20000 is not accepted; expected at most 16384"},
      {{"--layers", "2", "--channels", "9", "--heads", "2", "--vocabulary", "8", "--context", "8"},
       "--heads 2 is not accepted; expected a divisor of --channels 9"},
      {{"--layers", "2"}, "--layers also needs --channels, --heads, --vocabulary, --context"},
      {{"--layers", "0"}, "--layers: '0' is not accepted"},
      {{"--model", "gpt5"}, "--model: no model is called 'gpt5'"},
      {{"--ranks", "0"}, "--ranks: '0' is not accepted; expected a whole number from 1 to 1048576"},
      {{"--ranks", "1048577"}, "--ranks: '1048577' is not accepted"},
      {{"--ranks", "6", "--ranks-per-node", "4"}, "--ranks-per-node 4 is not accepted with 6"},
      {{"--ranks", "6", "--stages", "hybrid", "--shard-group", "4"},
       "--shard-group 4 is not accepted with 6 ranks; expected a divisor"},
      {{"--parameters", "63", "--ranks", "64"},
       "--ranks 64 is not accepted at stage 1: more shards than the 63 elements of the model"},
      {{"--parameters", "7", "--ranks", "64", "--stages", "0,hybrid", "--shard-group", "8"},
       "--shard-group 8 is not accepted at stage hybrid: more shards than the 7 elements"},
      {{"--ranks", "4", "--batch", "3"}, "--batch 3 is not accepted with 4 ranks"},
      {{"--ranks", "1048576", "--accumulate", "1048576"}, "--accumulate 1048576 is not accepted"},
      {{"--model", "gpt-3m", "--sequence", "65"}, "--sequence 65 is not accepted"},
      {{"--stages", "4"}, "--stages: '4' is not accepted"},
      {{"--stages", "3,3"}, "--stages: '3,3' is not accepted"},
      {{"--offload", "tape"}, "--offload: 'tape' is not accepted"},
      {{"--device-memory", "lots"}, "--device-memory: 'lots' is not a size"},
      {{"--flops", "0"}, "--flops: '0' is not accepted"},
      {{"--interconnect-bandwidth", "0"}, "--interconnect-bandwidth 0 is not accepted"},
      {{"--dtype", "fp16", "--master", "remainder"}, "--master remainder is not accepted"},
      {{"--unknown"}, "unknown option '--unknown'"},
  };
  for (const refusal& r : all) {
    for (const bool as_json : {false, true}) {
      const ran got = plan(r.options + (as_json ? words{"--json"} : words{}));
      EXPECT_EQ(got.exit_code, 2) << r.part;
      EXPECT_EQ(got.output, "") << r.part;
      EXPECT_NE(got.errors.find("zero plan: "), std::string::npos) << got.errors;
      EXPECT_NE(got.errors.find(r.part), std::string::npos) << got.errors;
      EXPECT_EQ(lines_in(got.errors), 1) << got.errors;
    }
  }
}

TEST(Plan, TakesAsManyShardsAsElements) {
  EXPECT_EQ(plan({"--parameters", "64", "--ranks", "64"}).exit_code, 0);
  EXPECT_EQ(plan({"--parameters", "1", "--ranks", "64", "--stages", "0"}).exit_code, 0);
  EXPECT_EQ(plan({"--parameters", "8", "--ranks", "64", "--stages", "mics", "--shard-group", "8"})
                .exit_code,
            0);
}

TEST(Plan, HasTheBlocksThatParametersAndDimensionsMake) {
  const json report = planned({"--parameters", "124439808", "--layers", "12", "--channels", "768",
                               "--ranks", "3", "--stages", "3", "--offload", "none"});
  EXPECT_EQ(report.at("model").at("parameters"), 124439808);
  EXPECT_EQ(report.at("model").at("units"), 14);
  const json named =
      planned({"--model", "gpt2", "--ranks", "3", "--stages", "3", "--offload", "none"});
  EXPECT_EQ(named.at("model").at("parameters"), 124439808);
  // The embedding is one tensor there and two here, of as many elements.
  EXPECT_EQ(report.at("runs").at(0).at("memory").at(0).at("predicted"),
            named.at("runs").at(0).at("memory").at(0).at("predicted"));
}

TEST(Plan, SaysWhatIsShortOfWhat) {
  const words model{"--model", "gpt-3m", "--ranks", "2", "--stages", "2"};
  const json free = planned(model);
  const auto peak = [&](const char* offload) {
    return run_of(free, "2", offload).at("memory").at(0).at("predicted").at("peak");
  };
  const json tight = planned(model + words{"--memory-budget", peak("nvme").dump()});
  EXPECT_FALSE(run_of(tight, "2", "none").at("fits").get<bool>());
  EXPECT_TRUE(run_of(tight, "2", "nvme").at("fits").get<bool>());
  const json& shortage = run_of(tight, "2", "none").at("shortages").at(0);
  EXPECT_EQ(shortage.at("of"), "--memory-budget");
  EXPECT_EQ(shortage.at("asked"), peak("none"));
  EXPECT_EQ(shortage.at("available"), peak("nvme"));

  const json small = planned(model + words{"--nvme-capacity", "1MiB", "--host-memory", "1MiB"});
  for (const char* offload : {"none", "cpu", "nvme"}) {
    std::vector<std::string> of;
    for (const json& s : run_of(small, "2", offload).at("shortages")) of.push_back(s.at("of"));
    EXPECT_EQ(of, offload == std::string("nvme") ? (words{"--host-memory", "--nvme-capacity"})
                                                 : words{"--host-memory"});
  }
  EXPECT_TRUE(small.at("recommendation").is_null());
  const ran table = plan(model + words{"--host-memory", "1MiB"});
  EXPECT_NE(table.output.find("None of them fits"), std::string::npos) << table.output;
}

// ---- predicted and measured --------------------------------------------------------------------

class Measured : public ::testing::Test {
 protected:
  Measured() {
    std::string pattern = (fs::temp_directory_path() / "zero plan XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::ofstream text(at("text"));
    for (int i = 0; i < 500; ++i) text << "line " << i % 7 << " of the text\n";
  }
  ~Measured() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }

  // What a run of as many steps says of itself; null if it was refused with that exit code.
  [[nodiscard]] json trained(const words& options, int refused_with = 0) const {
    const words command{ZERO_COMMAND, "train",           "--text", at("text"),    "--steps",
                        "2",          "--measure-links", "off",    "--nvme-path", folder_.string(),
                        "--json",     at("run.json")};
    const ran r = run(command + options);
    EXPECT_EQ(r.exit_code, refused_with) << r.errors;
    if (r.exit_code != 0) return nullptr;
    std::ifstream file(at("run.json"));
    std::string last;
    for (std::string line; std::getline(file, line);) last = line;
    return json::parse(last);
  }

  fs::path folder_;
};

// What `zero compare` gives each (stage, offload) beside these.
words tiers_of(const std::string& stage, const std::string& offload) {
  words result{"--stage", stage};
  if (offload == "none") return result;
  result = result + words{"--offload-optimizer", offload};
  const bool parameters = stage == "3" || stage == "hybrid" || stage == "hpz";
  if (parameters) result = result + words{"--offload-parameters", offload};
  return result;
}

void expect_same_bytes(const json& run, const json& real, const std::string& what) {
  const json& memory = run.at("memory").at(0);
  ASSERT_EQ(real.at("memory").size(), run.at("ranks").get<std::size_t>()) << what;
  for (const json& rank : real.at("memory")) {
    for (const auto& [account, bytes] : memory.at("predicted").items()) {
      EXPECT_EQ(bytes, rank.at("measured").at(account)) << what << ", " << account;
    }
    EXPECT_EQ(memory.at("activations"), rank.at("measured").at("activations")) << what;
  }
  for (const json& rank : real.at("communication")) {
    for (const char* kind : {"all_gather", "reduce_scatter", "all_to_all", "calls"}) {
      EXPECT_EQ(run.at("communication").at(0).at(kind), rank.at(kind)) << what << ", " << kind;
    }
  }
  for (const json& rank : real.at("offload_io")) {
    for (const char* kind : {"host_to_device", "device_to_host", "disk_read", "disk_written"}) {
      EXPECT_EQ(run.at("offload_io").at(0).at(kind), rank.at(kind)) << what << ", " << kind;
    }
  }
  EXPECT_EQ(run.at("disk_wear").at("written_per_step"),
            real.at("disk_wear").at("written_per_step"));
}

// Every stage and tier over odd shapes, worlds, dtypes and ways to accumulate; a budget of what is
// planned holds, and a byte less is refused.
TEST_F(Measured, BytesAreThosePlanned) {
  const words odd{"--layers",     "3",   "--channels", "66", "--heads", "3",
                  "--vocabulary", "257", "--context",  "8"};
  struct sample {
    int ranks;
    words options;
    std::string stages;
  };
  const sample samples[] = {
      {1, {"--dtype", "bf16", "--optimizer", "lion"}, "0,3"},
      {2, {"--accumulate", "2", "--reduce-at", "boundary"}, "0,1,2,3"},
      {3, {"--dtype", "bf16", "--gradient-dtype", "same", "--prefetch", "2"}, "0,1,2,3"},
      {4,
       {"--dtype", "fp16", "--shard-group", "2", "--accumulate", "2", "--recompute"},
       "hybrid,hybrid1,hpz"},
      {2,
       {"--dtype", "bf16", "--optimizer-states", "block8", "--master", "remainder", "--addressing",
        "stable", "--resident-bytes", "512"},
       "1,3"},
      {4, {"--shard-group", "2", "--quantize-gather", "8", "--quantize-reduce", "4"}, "3"},
  };
  unsigned turn = 0;
  for (const sample& s : samples) {
    const words common =
        odd + s.options +
        words{"--ranks", std::to_string(s.ranks), "--batch", std::to_string(2 * s.ranks + 1)};
    const json report = planned(common + words{"--stages", s.stages});
    for (const json& run : report.at("runs")) {
      if (turn++ % testing::sampled_each != 0) continue;
      const std::string stage = run.at("policy");
      const std::string offload = run.at("offload");
      const std::string what = stage + " " + offload + " of " + std::to_string(s.ranks);
      const words options = common + tiers_of(stage, offload);
      const json& peak = run.at("memory").at(0).at("predicted").at("peak");
      expect_same_bytes(run, trained(options + words{"--memory-budget", peak.dump()}), what);
      if (offload != "none") continue;  // smaller cells may hold what these do not
      const auto less = std::to_string(peak.get<std::uint64_t>() - 1);
      const words nowhere_else{"--offload-optimizer",  "none", "--offload-gradients", "none",
                               "--offload-parameters", "none", "--memory-budget",     less};
      const json tight =
          planned(common + words{"--stages", stage, "--offload", "none", "--memory-budget", less});
      EXPECT_FALSE(tight.at("runs").at(0).at("fits").get<bool>()) << what;
      EXPECT_TRUE(trained(common + words{"--stage", stage} + nowhere_else, 6).is_null());
    }
  }
}

// Where state is off the device an update with smaller cells holds in less: the planner says so of
// just the budgets that training takes, and plans the bytes that it then has.
TEST_F(Measured, WhatFitsIsWhatTrainingTakes) {
  const words common{"--layers",  "3", "--channels", "66", "--heads", "3", "--vocabulary", "257",
                     "--context", "8", "--ranks",    "2",  "--batch", "4"};
  const std::pair<const char*, const char*> ways[] = {{"0", "nvme"}, {"2", "nvme"}, {"3", "nvme"}};
  for (const auto& [stage, offload] : ways) {
    const std::string what = std::string(stage) + " " + offload;
    words there = tiers_of(stage, offload);
    if (stage[0] != '3') there = there + words{"--offload-parameters", "none"};
    if (stage[0] == '0') there = there + words{"--offload-gradients", "none"};
    const words named{"--stages", stage, "--offload", offload};
    const json whole = planned(common + named);
    const auto peak =
        whole.at("runs").at(0).at("memory").at(0).at("predicted").at("peak").get<std::uint64_t>();
    const ran refused = run(words{ZERO_COMMAND, "train", "--text", at("text")} + common + there +
                            words{"--memory-budget", "1"});
    EXPECT_EQ(refused.exit_code, 6) << refused.errors;
    const std::string before = "smallest that would do is ";
    ASSERT_NE(refused.errors.find(before), std::string::npos) << refused.errors;
    const std::uint64_t least =
        std::stoull(refused.errors.substr(refused.errors.find(before) + before.size()));
    ASSERT_LT(least, peak) << what;
    const auto within = [&](std::uint64_t budget) {
      return words{"--memory-budget", std::to_string(budget)};
    };
    for (const std::uint64_t budget : {least, (least + peak) / 2, peak}) {
      const json report = planned(common + named + within(budget));
      const json& run = report.at("runs").at(0);
      EXPECT_TRUE(run.at("fits").get<bool>()) << what << " " << budget;
      expect_same_bytes(run, trained(common + there + within(budget)), what);
    }
    const json tight = planned(common + named + within(least - 1));
    EXPECT_FALSE(tight.at("runs").at(0).at("fits").get<bool>()) << what;
    EXPECT_TRUE(trained(common + there + within(least - 1), 6).is_null()) << what;
  }
}

// All that was looked at is told, and nothing that fits is faster than what is recommended, but by
// the hundredth for which the leaner is taken.
TEST(Plan, TellsTheWaysItChoseFrom) {
  const json report = planned({"--model", "gpt-3m", "--ranks", "2", "--memory-budget", "34MiB"});
  const json& recommended = report.at("recommendation");
  std::size_t fitting = 0;
  double fastest = 1e9;
  std::vector<std::string> seen;
  for (const json& way : recommended.at("ways")) {
    json place = way;
    for (const char* said : {"estimate", "fits", "waits_for_cells"}) place.erase(said);
    seen.push_back(place.dump());
    if (way.at("policy") != "3") {
      EXPECT_EQ(way.at("prefetch"), 1) << "nothing is gathered";
    }
    if (!way.at("fits").get<bool>()) continue;
    ++fitting;
    const double longer = way.at("waits_for_cells").get<bool>() ? 1.25 : 1;
    fastest = std::min(fastest, longer * way.at("estimate").get<double>());
  }
  // Stages 0 to 3, in memory or four shares on either tier; stage 3 with 0, 1 and 2 units ahead,
  // with parameters there or not, which inside a budget may be the same.
  EXPECT_GE(seen.size(), 9U * 3 + 9U * 3);
  EXPECT_LE(seen.size(), 10U * 3 + 18U * 3);
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
  EXPECT_GT(fitting, 0U);
  EXPECT_LT(fitting, seen.size());
  EXPECT_LE(recommended.at("step_seconds").at("estimate"), fastest * 1.01);
}

}  // namespace
}  // namespace zero::test
