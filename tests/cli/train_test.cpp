// `zero train` and `zero compare`, the real binary on a model of a few hundred parameters: what
// they write, what they refuse, and that a rank that dies takes the others along.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

const std::vector<std::string> tiny{"--layers",     "1",   "--channels", "8", "--heads", "2",
                                    "--vocabulary", "256", "--context",  "8"};

std::vector<std::string> joined(std::vector<std::string> first,
                                const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class Train : public testing::Test {
 protected:
  Train()
      : mark_("ZERO_TEST_MARK=" + std::to_string(getpid()) +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::string pattern = (fs::temp_directory_path() / "zero train XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    // Some text with a law in it.
    std::ofstream text(at("text"));
    for (int i = 0; i < 500; ++i) text << "line " << i % 7 << " of the text\n";
  }
  ~Train() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::vector<std::string> command(const std::string& subcommand,
                                                 const std::vector<std::string>& options) const {
    return joined(joined({ZERO_COMMAND, subcommand}, tiny), options);
  }
  ran zero(const std::string& subcommand, std::vector<std::string> options) {
    options = joined({"--text", at("text")}, options);
    return run(command(subcommand, options), {mark_});
  }
  [[nodiscard]] std::vector<json> lines_of(const std::string& name) const {
    std::vector<json> lines;
    std::ifstream file(at(name));
    for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
    return lines;
  }
  [[nodiscard]] std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.insert(entry.path().filename());
    return names;
  }

  std::string mark_;
  fs::path folder_;
};

TEST_F(Train, WritesTheContractsLines) {
  const ran r = zero("train", {"--ranks", "2", "--stage", "2", "--steps", "3", "--batch", "3",
                               "--accumulate", "2", "--json", at("run.json")});
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  const std::vector<json> lines = lines_of("run.json");
  ASSERT_EQ(lines.size(), 4U);
  for (int i = 0; i < 3; ++i) {
    const json& step = lines[static_cast<std::size_t>(i)];
    EXPECT_EQ(step.at("schema"), "zero.step/1");
    EXPECT_EQ(step.at("step"), i + 1);
    EXPECT_FALSE(step.at("skipped").get<bool>());
    for (const char* field : {"loss", "gradient_norm", "learning_rate", "seconds"}) {
      EXPECT_GT(step.at(field).get<double>(), 0) << field;
    }
    EXPECT_NEAR(step.at("tokens_per_second").get<double>() * step.at("seconds").get<double>(),
                3 * 8, 1e-6);
  }
  // Before anything is learnt every byte is as likely as any other.
  EXPECT_NEAR(lines[0].at("loss").get<double>(), std::log(256.0), 0.1);

  const json& run = lines[3];
  EXPECT_EQ(run.at("schema"), "zero.run/1");
  EXPECT_EQ(run.at("stage"), 2);
  EXPECT_EQ(run.at("offload"), "none");
  EXPECT_EQ(run.at("ranks"), 2);
  EXPECT_EQ(run.at("accumulate"), 2);
  EXPECT_EQ(run.at("losses").size(), 3U);
  EXPECT_EQ(run.at("losses").at(2), lines[2].at("loss"));
  EXPECT_EQ(run.at("parameters_digest").get<std::string>().size(), 32U);
  // V C + T C + L (12 C C + 13 C) + 2 C
  EXPECT_EQ(run.at("model").at("parameters"), 256 * 8 + 8 * 8 + 12 * 64 + 13 * 8 + 2 * 8);
  EXPECT_EQ(run.at("text").at("bytes"), fs::file_size(at("text")));
  ASSERT_EQ(run.at("memory").size(), 2U);
  ASSERT_EQ(run.at("communication").size(), 2U);
  ASSERT_EQ(run.at("offload_io").size(), 2U);
  for (const json& rank : run.at("memory")) {
    for (const char* account :
         {"parameters", "gradients", "optimizer", "buffers", "host", "disk", "peak"}) {
      EXPECT_EQ(rank.at("predicted").at(account), rank.at("measured").at(account)) << account;
    }
    EXPECT_GT(rank.at("measured").at("activations").get<int>(), 0);
    EXPECT_GT(rank.at("measured").at("process_rss_peak").get<int>(), 1 << 20);
  }
  for (const char* verb : {"fetch", "gather", "compute", "reduce", "clip", "update", "publish",
                           "spill", "exposed_communication"}) {
    EXPECT_TRUE(run.at("seconds_by_phase").contains(verb)) << verb;
  }
  EXPECT_EQ(files(), (std::set<std::string>{"text", "run.json"}));
}

TEST_F(Train, OneRankOfItsOwnAndOneOfALauncherAreTheSame) {
  const std::vector<std::string> options{"--steps", "2", "--text", at("text")};
  ASSERT_EQ(run(command("train", joined(options, {"--json", at("own")}))).exit_code, 0);
  const ran launched = run(joined({ZERO_COMMAND, "launch", "-n", "1", "--"},
                                  command("train", joined(options, {"--json", at("one")}))));
  ASSERT_EQ(launched.exit_code, 0) << launched.errors;
  EXPECT_EQ(lines_of("own").back().at("parameters_digest"),
            lines_of("one").back().at("parameters_digest"));
}

TEST_F(Train, LaunchedRanksAreTheRanksItStartsItself) {
  const std::vector<std::string> options{"--steps", "2", "--stage", "3", "--text", at("text")};
  const ran own = run(command("train", joined(options, {"--ranks", "3", "--json", at("own")})));
  ASSERT_EQ(own.exit_code, 0) << own.errors;
  const ran launched = run(joined({ZERO_COMMAND, "launch", "-n", "3", "--"},
                                  command("train", joined(options, {"--json", at("launched")}))));
  ASSERT_EQ(launched.exit_code, 0) << launched.errors;
  EXPECT_EQ(lines_of("own").back().at("parameters_digest"),
            lines_of("launched").back().at("parameters_digest"));
  EXPECT_EQ(lines_of("launched").back().at("ranks"), 3);
  EXPECT_EQ(lines_of("launched").size(), 3U);
}

TEST_F(Train, GoesOnFromWhatItExported) {
  ASSERT_EQ(zero("train",
                 {"--steps", "3", "--ranks", "2", "--stage", "3", "--export", at("a.safetensors")})
                .exit_code,
            0);
  // A learning rate of 0 leaves the parameters as they were read.
  const ran r = zero("train", {"--steps", "1", "--learning-rate", "0", "--init-from",
                               at("a.safetensors"), "--export", at("b.safetensors")});
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  std::stringstream a;
  std::stringstream b;
  a << std::ifstream(at("a.safetensors"), std::ios::binary).rdbuf();
  b << std::ifstream(at("b.safetensors"), std::ios::binary).rdbuf();
  EXPECT_GT(a.str().size(), 4U * 3000);
  EXPECT_EQ(a.str(), b.str());
  EXPECT_EQ(files(), (std::set<std::string>{"text", "a.safetensors", "b.safetensors"}));
}

TEST_F(Train, TracesEveryRank) {
  const ran r =
      zero("train", {"--steps", "2", "--ranks", "2", "--stage", "3", "--trace", at("trace.json")});
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  std::ifstream file(at("trace.json"));
  const json trace = json::parse(file);
  std::set<std::pair<int, std::string>> seen;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") != "X") continue;
    EXPECT_GE(event.at("dur").get<double>(), 0);
    seen.emplace(event.at("pid").get<int>(), event.at("cat").get<std::string>());
  }
  for (int rank = 0; rank < 2; ++rank) {
    for (const char* name : {"forward", "backward", "gather", "reduce", "update"}) {
      EXPECT_TRUE(seen.count({rank, name}) > 0) << rank << " " << name;
    }
  }
}

TEST_F(Train, SamplesTheSameOnOneRankAsOnTwo) {
  const auto sample_of = [this](const std::string& ranks) {
    const ran r = zero("train", {"--steps", "1", "--ranks", ranks, "--sample", "20", "--json",
                                 at("run.json"), "--stage", "3", "--learning-rate", "0"});
    EXPECT_EQ(r.exit_code, 0) << r.errors;
    return lines_of("run.json").back().at("sample");
  };
  const json one = sample_of("1");
  EXPECT_EQ(one.size(), 36U);  // 16 of the text, and 20
  EXPECT_EQ(one, sample_of("2"));
}

TEST_F(Train, ABudgetIsAPromise) {
  const std::vector<std::string> options{"--steps", "1", "--ranks", "2", "--stage", "1"};
  const ran refused =
      zero("train", joined(options, {"--memory-budget", "1KiB", "--json", at("j")}));
  EXPECT_EQ(refused.exit_code, 6);
  EXPECT_EQ(lines_in(refused.errors), 1) << refused.errors;
  EXPECT_EQ(files(), std::set<std::string>{"text"});
  const std::string mark = "the smallest that would do is ";
  const std::size_t place = refused.errors.find(mark);
  ASSERT_NE(place, std::string::npos) << refused.errors;
  const std::uint64_t smallest = std::stoull(refused.errors.substr(place + mark.size()));
  EXPECT_EQ(
      zero("train", joined(options, {"--memory-budget", std::to_string(smallest - 1)})).exit_code,
      6);
  const ran held = zero(
      "train", joined(options, {"--memory-budget", std::to_string(smallest), "--json", at("j")}));
  ASSERT_EQ(held.exit_code, 0) << held.errors;
  EXPECT_EQ(lines_of("j").back().at("memory").at(0).at("measured").at("peak"), smallest);
}

struct wrong {
  std::vector<std::string> options;
  int exit_code;
  std::vector<std::string> said;
  std::vector<std::string> environment = {};
};

class WrongInput : public Train, public testing::WithParamInterface<wrong> {};

TEST_P(WrongInput, IsOneLineAndNothingIsLeft) {
  std::ofstream(at("short")) << "short";
  std::ofstream(at("foreign")) << std::string(5000, 'x');
  fs::create_directory(at("empty"));
  const std::set<std::string> before = files();
  std::vector<std::string> all = command("train", {"--json", at("run.json"), "--steps", "1"});
  for (std::string option : GetParam().options) {
    const std::size_t place = option.find('@');
    if (place != std::string::npos) option.replace(place, 1, folder_.string());
    all.push_back(option);
  }
  const ran r = run(all, joined(GetParam().environment, {mark_}));
  EXPECT_EQ(r.exit_code, GetParam().exit_code) << r.errors;
  EXPECT_EQ(lines_in(r.errors), 1) << r.errors;
  EXPECT_TRUE(r.output.empty()) << r.output;
  for (const std::string& part : GetParam().said) {
    EXPECT_NE(r.errors.find(part), std::string::npos) << "'" << part << "' in: " << r.errors;
  }
  EXPECT_EQ(files(), before);
  EXPECT_TRUE(all_gone(mark_, 1));
}

INSTANTIATE_TEST_SUITE_P(
    Table, WrongInput,
    testing::Values(
        wrong{{"--text", "@/missing"}, 2, {"--text", "missing"}},
        wrong{{"--text", "@/missing", "--ranks", "3"}, 2, {"--text", "missing"}},
        wrong{{"--text", "@/short"}, 2, {"--text", "short", "5 tokens"}},
        wrong{{"--text", "@/short", "--ranks", "2"}, 2, {"--text", "short", "5 tokens"}},
        wrong{{"--text", "@/empty"}, 2, {"--text", "empty"}},
        wrong{{"--tokens", "@/missing"}, 2, {"--tokens", "missing"}},
        wrong{{"--tokens", "@/foreign"}, 5, {"foreign", "byte"}},
        wrong{{"--tokens", "@/short"}, 5, {"short"}},
        wrong{{"--tokens", "@/short", "--text", "@/text"}, 2, {"--tokens", "--text"}},
        wrong{{"--text", "@/text", "--init-from", "@/missing"}, 2, {"--init-from", "missing"}},
        wrong{{"--text", "@/text", "--init-from", "@/foreign"}, 5, {"foreign"}},
        wrong{{"--text", "@/text", "--init-from", "@/foreign", "--ranks", "2"}, 5, {"foreign"}},
        wrong{{"--export", "@/no/folder/x"}, 2, {"--export", "no/folder"}},
        wrong{{"--trace", "@/empty"}, 2, {"--trace", "empty", "directory"}},
        wrong{{"--stage", "4"}, 2, {"--stage", "'4'", "0, 1, 2, 3, hybrid"}},
        wrong{{"--stage", "hybrid", "--shard-group", "2", "--ranks", "3"}, 2, {"--shard-group 2"}},
        wrong{{"--stage", "hpz"},
              2,
              {"--stage hpz", "--shard-group", "RANK and WORLD_SIZE"},
              {"RANK=0", "WORLD_SIZE=2", "ZERO_ARENA_FD=9"}},
        wrong{{"--offload-optimizer", "ssd"}, 2, {"--offload-optimizer", "'ssd'", "nvme"}},
        wrong{{"--offload-parameters", "cpu", "--ranks", "2"}, 2, {"--offload-parameters cpu"}},
        wrong{{"--offload-ratio", "1.5"}, 2, {"--offload-ratio", "'1.5'", "from 0 to 1"}},
        wrong{{"--offload-optimizer", "nvme", "--nvme-path", "@/text"}, 2, {"--nvme-path", "text"}},
        wrong{{"--checkpoints", "@/c"}, 2, {"--checkpoints", "unknown"}},
        wrong{{"--ranks", "0"}, 2, {"--ranks", "'0'"}},
        wrong{{"--ranks", "5"}, 2, {"--batch 4", "5 ranks"}},
        // Nobody started these: with MPI it is alone, without MPI it cannot be helped.
        wrong{{},
              2,
              {"OMPI_COMM_WORLD_RANK", "rank 0 of 2", "MPI"},
              {"OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=2"}},
        wrong{{"--ranks", "3"},
              2,
              {"--ranks 3", "RANK and WORLD_SIZE"},
              {"RANK=0", "WORLD_SIZE=2", "ZERO_ARENA_FD=9"}},
        wrong{{}, 2, {"arena"}, {"RANK=0", "WORLD_SIZE=2", "ZERO_ARENA_FD=0"}},
        wrong{{}, 2, {"ZERO_RESULT_FD", "'x'"}, {"ZERO_RESULT_FD=x"}},
        wrong{{}, 2, {"ZERO_RESULT_FD", "77"}, {"ZERO_RESULT_FD=77"}}));

TEST_F(Train, ComparesEveryStageBitForBit) {
  const ran r = zero("compare", {"--ranks", "3", "--steps", "4", "--output", at("a b/c")});
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  std::ifstream file(at("a b/c/compare.json"));
  const json report = json::parse(file);
  EXPECT_EQ(report.at("schema"), "zero.compare/1");
  EXPECT_EQ(report.at("version"), ZERO_VERSION);
  EXPECT_EQ(report.at("command").at(1), "compare");
  EXPECT_EQ(report.at("model").at("layers"), 1);
  EXPECT_TRUE(report.at("machine").contains("cpu"));
  ASSERT_EQ(report.at("runs").size(), 4U);
  for (int stage = 0; stage < 4; ++stage) {
    const json& run = report.at("runs").at(static_cast<std::size_t>(stage));
    EXPECT_EQ(run.at("stage"), stage);
    EXPECT_EQ(run.at("losses"), report.at("runs").at(0).at("losses"));
    EXPECT_EQ(run.at("parameters_digest"), report.at("runs").at(0).at("parameters_digest"));
    EXPECT_FALSE(run.contains("schema"));
  }
  EXPECT_NE(r.output.find("bit for bit"), std::string::npos) << r.output;
  EXPECT_NE(r.output.find("a b/c/compare.json"), std::string::npos) << r.output;
  EXPECT_EQ(files(), (std::set<std::string>{"text", "a b"}));
  EXPECT_TRUE(all_gone(mark_, 1));
}

TEST_F(Train, ComparisonOfUnreadableTextLeavesNothing) {
  const ran r = run(command("compare", {"--text", at("missing"), "--output", at("out")}), {mark_});
  EXPECT_EQ(r.exit_code, 2);
  EXPECT_EQ(lines_in(r.errors), 1) << r.errors;
  EXPECT_NE(r.errors.find("zero compare: --text"), std::string::npos) << r.errors;
  EXPECT_EQ(files(), std::set<std::string>{"text"});
}

// Starts a run that would last for hours and waits until it trains.
class Long : public Train, public testing::WithParamInterface<const char*> {
 protected:
  std::vector<std::string> forever() {
    std::vector<std::string> options{"--text", at("text"), "--ranks", "3", "--steps", "100000000"};
    if (std::string(GetParam()) == "train") options = joined(options, {"--json", at("run.json")});
    if (std::string(GetParam()) == "compare") options = joined(options, {"--output", at("out")});
    return command(GetParam(), options);
  }
  // "stage 0, 3 ranks: 100000000 steps" is printed at the first step.
  static bool wait_for_training(running& r) { return r.wait_for_errors("100000000 steps", 1); }
  // Ranks are those that have RANK in their environment.
  pid_t rank_of(const std::string& rank) {
    for (const pid_t id : processes_marked(mark_)) {
      for (const pid_t other : processes_marked("RANK=" + rank)) {
        if (id == other) return id;
      }
    }
    return -1;
  }
};

TEST_P(Long, AKilledRankEndsTheOthers) {
  running r(forever(), {mark_});
  ASSERT_TRUE(wait_for_training(r));
  const pid_t victim = rank_of("1");
  ASSERT_GT(victim, 0);
  kill(victim, SIGKILL);
  const auto begin = std::chrono::steady_clock::now();
  const ran ended = r.finish();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(ended.exit_code, 3) << ended.errors;
  EXPECT_NE(ended.errors.find("rank 1 was killed by signal 9"), std::string::npos) << ended.errors;
  EXPECT_EQ(lines_in(ended.errors), 2) << ended.errors;  // the start, and this
  EXPECT_TRUE(all_gone(mark_, 0.5));
  EXPECT_FALSE(fs::exists(at("out")));
}

TEST_P(Long, AnInterruptionEndsAll) {
  for (const int signal : {SIGINT, SIGTERM}) {
    running r(forever(), {mark_});
    ASSERT_TRUE(wait_for_training(r));
    kill(r.id(), signal);
    const auto begin = std::chrono::steady_clock::now();
    const ran ended = r.finish();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
    EXPECT_EQ(ended.exit_code, 128 + signal) << ended.errors;
    EXPECT_TRUE(all_gone(mark_, 0.5));
    EXPECT_FALSE(fs::exists(at("out")));
  }
}

TEST_P(Long, AKilledStarterLeavesNoRank) {
  running r(forever(), {mark_});
  ASSERT_TRUE(wait_for_training(r));
  kill(r.id(), SIGKILL);
  EXPECT_EQ(r.finish().exit_code, 128 + SIGKILL);
  EXPECT_TRUE(all_gone(mark_, 2));
}

TEST_P(Long, AStoppedRankIsLostAtTheDeadline) {
  running r(joined(forever(), {"--deadline", "1"}), {mark_});
  ASSERT_TRUE(wait_for_training(r));
  const pid_t victim = rank_of("2");
  ASSERT_GT(victim, 0);
  kill(victim, SIGSTOP);
  const auto begin = std::chrono::steady_clock::now();
  const ran ended = r.finish();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(6));
  EXPECT_EQ(ended.exit_code, 3) << ended.errors;
  EXPECT_TRUE(all_gone(mark_, 0.5));
}

INSTANTIATE_TEST_SUITE_P(Of, Long, testing::Values("train", "compare"));

}  // namespace
}  // namespace zero::test
