// Where state rests: what options mean, what is refused, and what a budget leaves to choose.

#include "train/tier_choice.hpp"

#include "compare/compare_options.hpp"
#include "train/train_rank.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/base/error.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/offload/swap_file.hpp>

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <tuple>

namespace zero::cli {
namespace {

using partition::tier;
namespace fs = std::filesystem;

train_options parsed(const arguments& given) {
  train_options o;
  train_option_set(o).parse(given);
  return o;
}

std::uint64_t peak_of(const train_options& o, int ranks) {
  return sharded_optimizer::predict(trainer::model_of(chosen_model(o.training), o.training.dtype),
                                    engine_options_of(o), ranks)
      .predicted_peak;
}

class Tiers : public testing::Test {
 protected:
  Tiers() {
    std::string pattern = (fs::temp_directory_path() / "zero_tiers_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    const char* const before = getenv("TMPDIR");
    if (before != nullptr) before_ = before;
    setenv("TMPDIR", folder_.c_str(), 1);
  }
  ~Tiers() override {
    before_.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before_.c_str(), 1);
    fs::remove_all(folder_);
  }

  fs::path folder_;
  std::string before_;
};

TEST_F(Tiers, AreOnTheDeviceUnlessSaid) {
  train_options o = parsed({"--stage", "3"});
  EXPECT_FALSE(tiers_of(o).any());
  EXPECT_EQ(settle_tiers(o, 2), "");
  EXPECT_EQ(o.training.nvme_path, "");
  o = parsed({"--stage", "3", "--offload-optimizer", "nvme", "--offload-parameters", "cpu",
              "--offload-gradients", "none", "--offload-ratio", "0.25", "--nvme-path", "/n"});
  const engine_options engine = engine_options_of(o);
  EXPECT_EQ(engine.tiers.optimizer, tier::disk);
  EXPECT_EQ(engine.tiers.parameters, tier::host);
  EXPECT_EQ(engine.tiers.gradients, tier::device);
  EXPECT_EQ(engine.tiers.optimizer_ratio, 0.25);
  EXPECT_EQ(engine.disk_directory, "/n");
}

TEST_F(Tiers, OfARunOfAComparisonAreAllThatTheStageHas) {
  compare_options o;
  for (const auto& [stage, parameters] : {std::tuple<std::string, tier>{"0", tier::device},
                                          {"1", tier::device},
                                          {"2", tier::device},
                                          {"3", tier::disk},
                                          {"hybrid", tier::disk},
                                          {"hybrid1", tier::device},
                                          {"hpz", tier::disk}}) {
    o.training.shard_group.reset();
    if (stage.size() > 1) o.training.shard_group = 2;
    arguments told = train_arguments(o, stage, offload_tier::nvme);
    told.erase(told.begin());
    const train_options rank = parsed(told);
    EXPECT_EQ(tiers_of(rank).optimizer, tier::disk) << stage;
    EXPECT_EQ(tiers_of(rank).gradients, std::nullopt) << stage;
    EXPECT_EQ(tiers_of(rank).parameters, parameters) << stage;
    EXPECT_NO_THROW(check(rank, o.ranks)) << stage;
    told = train_arguments(o, stage, offload_tier::none);
    told.erase(told.begin());
    EXPECT_FALSE(tiers_of(parsed(told)).any());
  }
}

TEST_F(Tiers, ThatTheStageCannotHaveAreRefused) {
  const auto why = [](const arguments& given, int ranks) -> std::string {
    try {
      check(parsed(given), ranks);
    } catch (const invalid_argument& e) {
      return e.what();
    }
    return "";
  };
  for (const char* stage : {"0", "1", "2", "hybrid1"}) {
    EXPECT_EQ(why({"--stage", stage, "--shard-group", "2", "--offload-parameters", "nvme"}, 4),
              std::string("--offload-parameters nvme is not accepted with --stage ") + stage +
                  "; expected a stage that shards parameters like the optimizer states: 3, hybrid, "
                  "mics or hpz");
  }
  for (const char* stage : {"3", "hybrid", "hpz"}) {
    EXPECT_EQ(why({"--stage", stage, "--shard-group", "2", "--offload-parameters", "nvme"}, 4), "");
  }
  for (const char* stage : {"0", "1", "hybrid"}) {
    EXPECT_EQ(why({"--stage", stage, "--shard-group", "2", "--offload-gradients", "cpu"}, 4),
              std::string("--offload-gradients cpu is not accepted with --stage ") + stage +
                  "; expected a stage that shards gradients over all ranks: 2, 3, hybrid1 or hpz");
  }
  EXPECT_EQ(why({"--offload-gradients", "none", "--offload-parameters", "none"}, 1), "");
  EXPECT_EQ(why({"--offload-ratio", "0.5"}, 1),
            "--offload-ratio 0.5 is not accepted; expected --offload-optimizer cpu or nvme beside "
            "it");
  EXPECT_EQ(why({"--offload-ratio", "0.5", "--memory-budget", "1GiB"}, 1), "");
}

TEST_F(Tiers, AreReportedAsTheyAre) {
  const auto reported = [](const arguments& given, int ranks) {
    nlohmann::ordered_json run;
    report_tiers(run, parsed(given), ranks);
    return run.dump();
  };
  EXPECT_EQ(reported({"--stage", "3"}, 2),
            R"({"offload":"none","offload_optimizer":"none","offload_gradients":"none",)"
            R"("offload_parameters":"none","offload_ratio":0.0})");
  // Gradients follow where they can, and only all of the states.
  EXPECT_EQ(reported({"--stage", "2", "--offload-optimizer", "cpu"}, 2),
            R"({"offload":"cpu","offload_optimizer":"cpu","offload_gradients":"cpu",)"
            R"("offload_parameters":"none","offload_ratio":1.0})");
  EXPECT_EQ(reported({"--stage", "1", "--offload-optimizer", "cpu"}, 2),
            R"({"offload":"cpu","offload_optimizer":"cpu","offload_gradients":"none",)"
            R"("offload_parameters":"none","offload_ratio":1.0})");
  EXPECT_EQ(reported({"--stage", "3", "--offload-optimizer", "cpu", "--offload-ratio", "0.5",
                      "--offload-parameters", "nvme"},
                     2),
            R"({"offload":"nvme","offload_optimizer":"cpu","offload_gradients":"none",)"
            R"("offload_parameters":"nvme","offload_ratio":0.5})");
}

TEST_F(Tiers, ABudgetThatHoldsAllOffloadsNothing) {
  // Parameters, gradients and two states of GPT-2 XL in fp32 are 16 bytes a parameter.
  train_options o = parsed({"--model", "gpt2-xl", "--memory-budget", "40GiB"});
  const std::string line = settle_tiers(o, 1);
  EXPECT_NE(line.find("not offloaded"), std::string::npos) << line;
  EXPECT_NE(line.find("40.0 GiB"), std::string::npos) << line;
  EXPECT_FALSE(tiers_of(o).any());
  EXPECT_EQ(engine_options_of(o).memory_budget, std::uint64_t{40} << 30U);
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Tiers, WhatWasSaidIsKeptAndTheRestGoesToDisk) {
  train_options o = parsed({"--model", "gpt-85m", "--stage", "3", "--memory-budget", "300MiB"});
  const std::string line = settle_tiers(o, 2);
  EXPECT_EQ(o.offload_optimizer, offload_tier::nvme);
  EXPECT_EQ(o.training.nvme_path, folder_.string());
  EXPECT_NE(line.find("optimizer states on nvme"), std::string::npos) << line;
  EXPECT_NE(line.find("swap files in " + folder_.string()), std::string::npos) << line;
  EXPECT_LE(peak_of(o, 2), std::uint64_t{300} << 20U);
  EXPECT_TRUE(fs::is_empty(folder_));

  // A rank that is told what was chosen chooses the same.
  train_options rank = parsed(train_option_set(o).to_arguments());
  static_cast<void>(settle_tiers(rank, 2));
  EXPECT_EQ(peak_of(rank, 2), peak_of(o, 2));
  EXPECT_EQ(rank.settled->cell_elements, o.settled->cell_elements);

  o = parsed({"--model", "gpt-85m", "--stage", "3", "--memory-budget", "700MiB",
              "--offload-parameters", "cpu", "--nvme-path", folder_.string()});
  static_cast<void>(settle_tiers(o, 2));
  EXPECT_EQ(o.offload_parameters, offload_tier::cpu);
  EXPECT_LE(peak_of(o, 2), std::uint64_t{700} << 20U);
}

TEST_F(Tiers, ABudgetThatIsTooSmallNamesTheSmallest) {
  const auto with = [](const std::string& budget) {
    return parsed({"--model", "gpt-11m", "--stage", "3", "--memory-budget", budget});
  };
  train_options o = with("1MiB");
  try {
    static_cast<void>(settle_tiers(o, 2));
    FAIL();
  } catch (const out_of_memory& e) {
    EXPECT_EQ(e.kind(), error_class::resource);
    EXPECT_EQ(e.available, std::uint64_t{1} << 20U);
    EXPECT_NE(std::string(e.what()).find(std::to_string(e.requested)), std::string::npos);
    o = with(std::to_string(e.requested));
    EXPECT_NO_THROW(static_cast<void>(settle_tiers(o, 2)));
    EXPECT_EQ(peak_of(o, 2), e.requested);
    o = with(std::to_string(e.requested - 1));
    EXPECT_THROW(static_cast<void>(settle_tiers(o, 2)), out_of_memory);
  }
  // With everything said there is nothing to choose but the size of cells.
  o = parsed({"--model", "gpt-11m", "--memory-budget", "100MiB", "--offload-optimizer", "none",
              "--offload-gradients", "none", "--offload-parameters", "none"});
  const std::uint64_t needed = peak_of(o, 1);
  try {
    static_cast<void>(settle_tiers(o, 1));
    FAIL();
  } catch (const out_of_memory& e) {
    EXPECT_EQ(e.requested, needed);
  }
}

TEST_F(Tiers, SwapFilesLieInAFolderOfOnesOwn) {
  EXPECT_EQ(offload::default_swap_directory(), folder_.string());
  setenv("TMPDIR", "", 1);
  EXPECT_NE(offload::default_swap_directory(), "");
  unsetenv("TMPDIR");
  EXPECT_TRUE(fs::is_directory(offload::default_swap_directory()));
  setenv("TMPDIR", folder_.c_str(), 1);

  fs::create_directory(folder_ / "own");
  EXPECT_NO_THROW(check_nvme_path((folder_ / "own").string()));
  EXPECT_TRUE(fs::is_empty(folder_ / "own"));
  fs::create_symlink(folder_ / "own", folder_ / "link");
  fs::create_directory(folder_ / "open");
  fs::permissions(folder_ / "open", fs::perms::all);
  for (const char* name : {"link", "open", "missing"}) {
    try {
      check_nvme_path((folder_ / name).string());
      FAIL() << name;
    } catch (const invalid_argument& e) {
      EXPECT_EQ(std::string(e.what()).rfind("--nvme-path: ", 0), 0U) << e.what();
    }
  }
}

}  // namespace
}  // namespace zero::cli
