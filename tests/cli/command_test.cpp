// The real binary: dispatch, help, info, and wrong usage of every subcommand, which is one line on
// standard error with the option in it, exit code 2, and nothing written.

#include "cli/ran.hpp"

#include <zero/base/cuda.hpp>
#include <zero/collectives/mpi.hpp>
#include <zero/collectives/nccl.hpp>
#include <zero/offload/disk_engine.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

ran zero_command(std::vector<std::string> arguments, const std::vector<std::string>& more = {}) {
  arguments.insert(arguments.begin(), ZERO_COMMAND);
  return run(arguments, more);
}

TEST(Zero, SaysItsVersion) {
  const ran r = zero_command({"--version"});
  EXPECT_EQ(r.exit_code, 0);
  EXPECT_EQ(r.output, "zero " ZERO_VERSION "\n");
}

TEST(Zero, HelpNamesEverySubcommand) {
  const ran r = zero_command({"--help"});
  EXPECT_EQ(r.exit_code, 0);
  EXPECT_TRUE(r.errors.empty());
  for (const char* name : {"compare", "train", "launch", "info"}) {
    EXPECT_NE(r.output.find(name), std::string::npos) << name;
  }
}

TEST(Zero, HelpOfASubcommandNamesEveryOptionOfTheContract) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> expected{
      {"compare",
       {"--ranks",
        "--stages",
        "--offload",
        "--model",
        "--text",
        "--steps",
        "--batch",
        "--sequence",
        "--accumulate",
        "--dtype",
        "--gradient-dtype",
        "--optimizer",
        "--learning-rate",
        "--weight-decay",
        "--clip-norm",
        "--seed",
        "--prefetch",
        "--addressing",
        "--nvme-path",
        "--device",
        "--output",
        "--shard-group",
        "hybrid1",
        "hpz",
        "mics",
        "(default 4)",
        "(default 0,1,2,3)",
        "(default 20)",
        "(default out/compare)"}},
      {"train",
       {"--stage",
        "--memory-budget BYTES",
        "--offload-optimizer none|cpu|nvme",
        "--offload-gradients",
        "--offload-parameters",
        "--offload-ratio SHARE",
        "--export",
        "--init-from",
        "--tokens",
        "--sample",
        "--json",
        "--trace",
        "--layers",
        "--channels",
        "--heads",
        "--vocabulary",
        "--context",
        "--reduce-at",
        "--schedule",
        "--warmup-steps",
        "--loss-scale",
        "--layout",
        "--resident-bytes",
        "--recompute",
        "--deadline SECONDS",
        "gpt-4m-odd"}},
      {"launch", {"-n", "PROGRAM"}},
      {"info", {"--json"}}};
  for (const auto& [subcommand, parts] : expected) {
    const ran r = zero_command({subcommand, "--help"});
    EXPECT_EQ(r.exit_code, 0);
    EXPECT_TRUE(r.errors.empty());
    for (const std::string& part : parts) {
      EXPECT_NE(r.output.find(part), std::string::npos) << part << " in:\n" << r.output;
    }
  }
}

TEST(Zero, InfoIsTheContractsObject) {
  const ran r = zero_command({"info", "--json"});
  ASSERT_EQ(r.exit_code, 0) << r.errors;
  const json found = json::parse(r.output);
  EXPECT_EQ(found.at("schema"), "zero.info/1");
  EXPECT_EQ(found.at("version"), ZERO_VERSION);
  EXPECT_EQ(found.at("cuda").at("compiled").get<bool>(), cuda_device::compiled());
  EXPECT_EQ(found.at("cuda").at("devices").get<int>(), cuda_device::count());
  EXPECT_EQ(found.at("cuda").at("gpus").size(), static_cast<std::size_t>(cuda_device::count()));
  for (const json& device : found.at("cuda").at("gpus")) {
    EXPECT_FALSE(device.at("name").get<std::string>().empty());
    EXPECT_LE(device.at("free_bytes").get<std::uint64_t>(),
              device.at("total_bytes").get<std::uint64_t>());
  }
  const bool with_mpi = collectives::mpi_compiled();
  EXPECT_EQ(found.at("mpi").get<bool>(), with_mpi);
  EXPECT_EQ(found.at("mpi_version").get<std::string>().empty(), !with_mpi);
  EXPECT_EQ(found.at("nccl").get<bool>(), collectives::nccl_compiled());
  EXPECT_EQ(found.at("nccl_version").get<std::string>().empty(), !collectives::nccl_compiled());
  EXPECT_EQ(found.at("io_uring").get<bool>(), offload::uring_compiled());
  EXPECT_FALSE(found.at("simd").empty());
  json expected{"shared_memory", "single"};
  if (with_mpi) expected.push_back("mpi");
  if (cuda_device::count() > 0) {
    expected.push_back("one_device");
    if (collectives::nccl_compiled()) expected.push_back("nccl");
  }
  EXPECT_EQ(found.at("backends"), expected);

  const ran text = zero_command({"info"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_NE(text.output.find(found.at("simd").at(0).get<std::string>()), std::string::npos);
}

struct wrong {
  std::vector<std::string> arguments;
  std::vector<std::string> said;
  std::vector<std::string> environment = {};
};

class WrongUsage : public testing::TestWithParam<wrong> {};

TEST_P(WrongUsage, IsOneLineAndExitCodeTwo) {
  std::string pattern = (fs::temp_directory_path() / "zero_wrong_XXXXXX").string();
  const fs::path folder = mkdtemp(pattern.data());
  const fs::path before = fs::current_path();
  fs::current_path(folder);
  const ran r = zero_command(GetParam().arguments, GetParam().environment);
  fs::current_path(before);

  EXPECT_EQ(r.exit_code, 2) << r.errors;
  EXPECT_EQ(lines_in(r.errors), 1) << r.errors;
  EXPECT_TRUE(r.output.empty()) << r.output;
  for (const std::string& part : GetParam().said) {
    EXPECT_NE(r.errors.find(part), std::string::npos) << "'" << part << "' in: " << r.errors;
  }
  EXPECT_TRUE(fs::is_empty(folder));
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(
    Table, WrongUsage,
    testing::Values(wrong{{}, {"zero: no subcommand", "compare"}},
                    wrong{{"frobnicate"}, {"unknown subcommand 'frobnicate'", "compare", "train"}},
                    wrong{{""}, {"unknown subcommand ''"}}, wrong{{"--nonsense"}, {"--nonsense"}},
                    wrong{{"info", "--nonsense"}, {"zero info: ", "--nonsense"}},
                    wrong{{"info", "--json=yes"}, {"--json"}}, wrong{{"info", "more"}, {"more"}},
                    wrong{{"launch"}, {"zero launch: ", "-n"}}, wrong{{"launch", "-n"}, {"ranks"}},
                    wrong{{"launch", "-n", "2"}, {"PROGRAM"}},
                    wrong{{"launch", "-n", "2", "--"}, {"PROGRAM"}},
                    wrong{{"launch", "-n", "0", "true"}, {"--ranks", "'0'", "from 1"}},
                    wrong{{"launch", "-n", "two", "true"}, {"--ranks", "'two'"}},
                    wrong{{"launch", "-n", "99999", "true"}, {"--ranks", "'99999'"}},
                    wrong{{"launch", "-n", "1", "-n", "2", "true"}, {"--ranks", "once"}},
                    wrong{{"launch", "--nonsense", "true"}, {"--nonsense"}},
                    wrong{{"launch", "true"}, {"-n"}}));

INSTANTIATE_TEST_SUITE_P(
    Compare, WrongUsage,
    testing::Values(
        wrong{{"compare", "--nonsense"}, {"zero compare: ", "--nonsense"}},
        wrong{{"compare", "--checkpoint", "x"}, {"--checkpoint", "unknown"}},
        wrong{{"compare", "--offload", "none,nvme", "--nvme-path", "/no/folder"},
              {"zero compare: ", "--nvme-path", "/no/folder"}},
        wrong{{"compare", "--nvme-path", ""}, {"--nvme-path", "''"}},
        wrong{{"compare", "--offload-optimizer", "cpu"}, {"--offload-optimizer", "unknown"}},
        wrong{{"compare", "--json", "x"}, {"--json", "unknown"}},
        wrong{{"compare", "--ranks", "0"}, {"--ranks", "'0'", "from 1"}},
        wrong{{"compare", "--ranks=-1"}, {"--ranks", "'-1'"}},
        wrong{{"compare", "--ranks", "5"}, {"--batch 4", "5 ranks"}},
        wrong{{"compare", "--stages", "4"}, {"--stages", "'4'", "0, 1, 2, 3, hybrid", "hpz"}},
        wrong{{"compare", "--stages", "0,"}, {"--stages", "'0,'"}},
        wrong{{"compare", "--stages", "hybrid", "--shard-group", "3"},
              {"--shard-group 3", "4 ranks", "divisor"}},
        wrong{{"compare", "--shard-group", "0"}, {"--shard-group", "'0'"}},
        wrong{{"compare", "--stages", "0,0"}, {"--stages", "'0,0'", "once"}},
        wrong{{"compare", "--stages", ""}, {"--stages", "''"}},
        wrong{{"compare", "--offload", "ssd"}, {"--offload", "'ssd'", "none, cpu or nvme"}},
        wrong{{"compare", "--offload", "cpu,cpu"}, {"--offload", "'cpu,cpu'", "once"}},
        wrong{{"compare", "--device", "cuda"}, {"--device", "'cuda'", "cpu"}},
        wrong{{"compare", "--model", "gpt-5"}, {"--model", "gpt-5", "gpt-3m"}},
        wrong{{"compare", "--model", "gpt-3m", "--layers", "2"}, {"--model gpt-3m", "--layers"}},
        wrong{{"compare", "--layers", "2", "--heads", "2"},
              {"--layers", "--channels", "--vocabulary", "--context"}},
        wrong{{"compare", "--layers", "2", "--heads", "3", "--channels", "8", "--vocabulary", "256",
               "--context", "8"},
              {"--heads 3", "--channels 8"}},
        wrong{{"compare", "--sequence", "65"}, {"--sequence 65", "64"}},
        wrong{{"compare", "--sequence", "0"}, {"--sequence", "'0'"}},
        wrong{{"compare", "--steps", "0"}, {"--steps", "'0'"}},
        wrong{{"compare", "--steps", "1.5"}, {"--steps", "'1.5'"}},
        wrong{{"compare", "--batch", "3"}, {"--batch 3", "4 ranks"}},
        wrong{{"compare", "--accumulate", "0"}, {"--accumulate", "'0'"}},
        wrong{{"compare", "--dtype", "fp8"}, {"--dtype", "'fp8'", "fp32, bf16 or fp16"}},
        wrong{{"compare", "--gradient-dtype", "bf16"}, {"--gradient-dtype", "'bf16'", "same"}},
        wrong{{"compare", "--optimizer", "muon"}, {"--optimizer", "'muon'", "adagrad"}},
        wrong{{"compare", "--learning-rate", "nan"}, {"--learning-rate", "'nan'"}},
        wrong{{"compare", "--learning-rate=-1"}, {"--learning-rate", "'-1'"}},
        wrong{{"compare", "--learning-rate", "1e39"}, {"--learning-rate", "'1e39'"}},
        wrong{{"compare", "--weight-decay", "x"}, {"--weight-decay", "'x'"}},
        wrong{{"compare", "--clip-norm", "inf"}, {"--clip-norm", "'inf'"}},
        wrong{{"compare", "--prefetch=-1"}, {"--prefetch", "'-1'"}},
        wrong{{"compare", "--addressing", "virtual"}, {"--addressing", "'virtual'", "stable"}},
        wrong{{"compare", "--schedule", "step"}, {"--schedule", "'step'", "cosine"}},
        wrong{{"compare", "--warmup-steps", "21"}, {"--warmup-steps 21", "--steps 20"}},
        wrong{{"compare", "--loss-scale", "0"}, {"--loss-scale", "'0'", "dynamic"}},
        wrong{{"compare", "--resident-bytes", "1QB"}, {"--resident-bytes", "1QB"}},
        wrong{{"compare", "--deadline", "0"}, {"--deadline", "'0'"}},
        wrong{{"compare", "--seed", "x"}, {"--seed", "'x'"}},
        wrong{{"compare", "--text"}, {"--text"}},
        wrong{{"compare", "--output", "/dev/null/x"}, {"--output", "/dev/null"}},
        wrong{{"compare", "--output", ""}, {"--output", "''"}},
        wrong{{"compare"}, {"RANK"}, {"RANK=0", "WORLD_SIZE=1"}}));

}  // namespace
}  // namespace zero::test
