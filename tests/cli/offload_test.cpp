// `zero train` and `zero compare` with state on every tier: the same bits, memory and traffic as
// predicted, budgets that hold, and nothing left behind.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
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

  // What links say of themselves agrees with what else is reported.
  static void expect_links(const json& run, bool measured = true) {
    const json& links = run.at("links");
    const bool disk = run.at("offload") == "nvme";
    EXPECT_EQ(links.is_null(), run.at("offload") == "none");
    EXPECT_EQ(run.at("disk_wear").at("days").is_null(), !disk);
    if (links.is_null()) return;
    ASSERT_EQ(links.at("ranks").size(), run.at("offload_io").size());
    EXPECT_EQ(links.at("measuring_seconds") > 0, measured);
    const auto seconds = links.at("step_seconds").get<double>();
    EXPECT_GE(seconds, run.at("step_seconds").at("min"));
    EXPECT_LE(seconds, run.at("step_seconds").at("max").get<double>() * (1 + 1e-9));
    for (const char* name : {"disk_read", "disk_written", "host_to_device", "device_to_host"}) {
      const json& all = links.at(name);
      double bytes = 0, rate = 0, ceiling = 0, busy = 0;
      for (std::size_t rank = 0; rank < links.at("ranks").size(); ++rank) {
        const json& own = links.at("ranks").at(rank).at(name);
        EXPECT_EQ(own.at("bytes"), run.at("offload_io").at(rank).at(name)) << name;
        bytes += own.at("bytes").get<double>();
        rate += own.at("rate").is_null() ? 0 : own.at("rate").get<double>();
        ceiling += own.at("ceiling").is_null() ? 0 : own.at("ceiling").get<double>();
        busy = std::max(busy, own.at("busy_seconds").get<double>());
      }
      EXPECT_EQ(all.at("bytes"), bytes);
      EXPECT_EQ(all.at("busy_seconds"), busy);
      const double reached = all.contains("reached") ? all.at("reached").get<double>() : 0;
      EXPECT_LE(reached, bytes);
      EXPECT_EQ(all.at("rate").is_null(), bytes == reached) << name;
      if (bytes > reached) {
        EXPECT_NEAR(all.at("rate").get<double>(), rate, 1e-9 * rate);
      }
      const bool has_ceiling = measured && (disk || std::string(name).rfind("disk", 0) != 0);
      EXPECT_EQ(all.at("ceiling").is_null(), !has_ceiling) << name;
      EXPECT_EQ(all.at("utilisation").is_null(), !has_ceiling) << name;
      EXPECT_EQ(all.at("rate_fraction").is_null(), !has_ceiling || bytes == reached) << name;
      if (!has_ceiling) continue;
      EXPECT_NEAR(all.at("ceiling").get<double>(), ceiling, 1e-9 * ceiling);
      EXPECT_NEAR(all.at("utilisation").get<double>() * ceiling * seconds, bytes, 1e-6 * bytes);
    }
    for (const json& rank : links.at("ranks")) expect_overlap(rank.at("overlap"));
    expect_overlap(links.at("overlap"));
  }
  static void expect_overlap(const json& overlap) {
    const auto of = [&overlap](const char* name) { return overlap.at(name).get<double>(); };
    EXPECT_GE(of("hidden_seconds"), 0);
    EXPECT_LE(of("hidden_seconds"), of("hideable_seconds"));
    EXPECT_LE(of("hideable_seconds"), of("moving_seconds"));
    EXPECT_EQ(overlap.at("fraction").is_null(), of("hideable_seconds") == 0);
    if (overlap.at("fraction").is_null()) return;
    EXPECT_NEAR(of("fraction") * of("hideable_seconds"), of("hidden_seconds"), 1e-12);
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

  static void expect_narrow(const std::string& output) {
    std::istringstream text(output);
    for (std::string line; std::getline(text, line);) EXPECT_LE(line.size(), 120U) << line;
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
    expect_links(run);
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
  EXPECT_NE(r.output.find("Between tiers"), std::string::npos);
  expect_narrow(r.output);
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
    expect_links(run);
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
  expect_links(run);
  EXPECT_EQ(run.at("offload"), "nvme");
  EXPECT_EQ(run.at("memory").at(1).at("measured").at("peak"), smallest);
  EXPECT_EQ(run.at("parameters_digest"), free.at("parameters_digest"));
  EXPECT_TRUE(fs::is_empty(at("swap")));
}

// Nothing is measured where that was not wanted, and the bits are the same.
TEST_F(Offload, LinksAreMeasuredUnlessToldOtherwise) {
  json digest;
  for (const char* measure : {"on", "off"}) {
    const ran r = zero("train", {"--ranks", "2", "--stage", "2", "--offload-optimizer", "nvme",
                                 "--nvme-path", at("swap"), "--json", at("json"), "--measure-links",
                                 measure, "--nvme-endurance", "2TB"});
    ASSERT_EQ(r.exit_code, 0) << r.errors;
    EXPECT_NE(r.output.find("taken 2 TB"), std::string::npos) << r.output;
    expect_narrow(r.output);
    const json run = last_line("json");
    expect_predicted(run);
    expect_links(run, measure == std::string("on"));
    const json& wear = run.at("disk_wear");
    EXPECT_NEAR(wear.at("days").get<double>() * wear.at("written_per_day").get<double>(), 2e12, 1);
    if (digest.is_null()) digest = run.at("parameters_digest");
    EXPECT_EQ(run.at("parameters_digest"), digest);
  }
  const ran none = zero("train", {"--ranks", "2", "--json", at("json")});
  ASSERT_EQ(none.exit_code, 0) << none.errors;
  EXPECT_TRUE(last_line("json").at("links").is_null());
  EXPECT_EQ(none.output.find("Between tiers"), std::string::npos) << none.output;
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
