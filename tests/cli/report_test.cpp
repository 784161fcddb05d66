// The verdict, the table, the progress lines, and files that are there whole or not at all.

#include "compare/compare_report.hpp"
#include "machine.hpp"
#include "output_folder.hpp"
#include "progress.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace zero::cli {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

json run_of(int stage) {
  const json bytes{{"parameters", 1 << 20},
                   {"gradients", 2 << 20},
                   {"optimizer", 3 << 20},
                   {"buffers", 512 << 10},
                   {"host", 0},
                   {"disk", 0},
                   {"peak", 7 << 20}};
  json run{{"stage", stage},
           {"offload", "none"},
           {"ranks", 2},
           {"losses", {5.5, 5.25}},
           {"parameters_digest", "00112233445566778899aabbccddeeff"},
           {"step_seconds", {{"median", 0.125}, {"min", 0.1}, {"max", 0.5}}},
           {"tokens_per_second", 2048.0},
           {"memory", json::array()},
           {"communication", json::array()}};
  for (int rank = 0; rank < 2; ++rank) {
    run["memory"].push_back({{"rank", rank}, {"predicted", bytes}, {"measured", bytes}});
    run["memory"].back()["measured"]["activations"] = 99;
    run["communication"].push_back({{"rank", rank},
                                    {"all_gather", 1 << 20},
                                    {"reduce_scatter", 2 << 20},
                                    {"all_reduce", 1 << 19},
                                    {"calls", 12}});
  }
  return run;
}

TEST(Verdict, EqualRunsHaveNoDifference) {
  EXPECT_TRUE(differences(json::array({run_of(0), run_of(1), run_of(3)})).empty());
}

TEST(Verdict, NamesTheRunWithOtherParameters) {
  json runs = json::array({run_of(0), run_of(1), run_of(3)});
  runs[2]["parameters_digest"] = "ff112233445566778899aabbccddeeff";
  const auto found = differences(runs);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("stage 3"), std::string::npos);
  EXPECT_NE(found[0].find("stage 0"), std::string::npos);
  EXPECT_NE(found[0].find("ff112233445566778899aabbccddeeff"), std::string::npos);
}

TEST(Verdict, NamesARunWhoseParametersCannotBeCompared) {
  json runs = json::array({run_of(0), run_of(1), run_of(3)});
  runs[0]["parameters_digest"] = nullptr;
  const auto found = differences(runs);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("stage 0: no digest"), std::string::npos) << found[0];
}

TEST(Verdict, ComparesRunsThatGatherAlike) {
  json runs = json::array({run_of(0), run_of(2), run_of(3), run_of(3)});
  for (const std::size_t i : {2, 3}) {
    runs[i]["quantize_gather"] = 8;
    runs[i]["parameters_digest"] = "ff112233445566778899aabbccddeeff";
  }
  EXPECT_TRUE(differences(runs).empty());
  EXPECT_EQ(count_of_equal(runs), "2 runs, and in 2 runs that gathered them in codes");
  EXPECT_EQ(count_of_equal(json::array({run_of(1)})), "1 run");
  runs[3]["parameters_digest"] = runs[0]["parameters_digest"];
  EXPECT_EQ(differences(runs).size(), 1U);
  runs[2]["quantize_gather"] = 0;
  runs[3].erase("quantize_gather");
  EXPECT_EQ(differences(runs).size(), 1U);
}

TEST(Verdict, NamesTheRankAndAccountThatWasNotPredicted) {
  json runs = json::array({run_of(0), run_of(2)});
  runs[1]["memory"][1]["measured"]["buffers"] = (512 << 10) + 1;
  const auto found = differences(runs);
  ASSERT_EQ(found.size(), 1U);
  for (const char* part : {"stage 2", "rank 1", "buffers", "524288", "524289"}) {
    EXPECT_NE(found[0].find(part), std::string::npos) << part << " in " << found[0];
  }
}

TEST(Verdict, MissesARankThatDidNotReport) {
  json runs = json::array({run_of(0)});
  runs[0]["memory"].erase(1);
  ASSERT_EQ(differences(runs).size(), 1U);
}

TEST(Table, HasOneRowARunInEachHalf) {
  json runs = json::array({run_of(0), run_of(3)});
  runs[1]["memory"][1]["measured"]["peak"] = 8 << 20;
  runs[1]["losses"][1] = nullptr;  // JSON's way to say NaN
  std::istringstream text(format_table(runs));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 8U);
  for (const char* part : {"0", "none", "5.25", "125.0 ms", "2048.0", "3.50 MiB", "0011"}) {
    EXPECT_NE(lines[1].find(part), std::string::npos) << part << " in " << lines[1];
  }
  EXPECT_NE(lines[2].find("nan"), std::string::npos);
  EXPECT_NE(lines[6].find("1.00|1.00"), std::string::npos);
  EXPECT_NE(lines[6].find("7.00|7.00"), std::string::npos);
  EXPECT_NE(lines[7].find("7.00|8.00"), std::string::npos);  // rank 1, which holds most
}

TEST(Table, NamesRowsWithGroupsAndTheirSize) {
  json hybrid = run_of(3);
  hybrid["policy"] = "hybrid";
  hybrid["shard_group"] = 2;
  json three = run_of(3);
  three["policy"] = "3";
  three["shard_group"] = nullptr;
  EXPECT_EQ(name_of_run(hybrid), "hybrid in groups of 2");
  EXPECT_EQ(name_of_run(three), "stage 3");
  const std::string table = format_table(json::array({hybrid, three}));
  EXPECT_NE(table.find("hybrid/2"), std::string::npos) << table;
  EXPECT_EQ(table.find("3/"), std::string::npos) << table;
}

TEST(Machine, IsDescribedByTheSystem) {
  const json machine = describe_machine();
  EXPECT_EQ(machine.at("page_bytes"), sysconf(_SC_PAGESIZE));
  EXPECT_GE(machine.at("logical_cores").get<int>(), 1);
  EXPECT_GT(machine.at("memory_bytes").get<std::uint64_t>(), std::uint64_t{1} << 24);
  EXPECT_NE(machine.at("kernel").get<std::string>().find("Linux"), std::string::npos);
  for (const char* field : {"cpu", "compiler", "transparent_huge_pages"}) {
    EXPECT_TRUE(machine.contains(field)) << field;
  }
}

TEST(Progress, WritesPlainLinesWhereNobodyWatches) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  {
    progress shown("stage 2", 100, file);
    const auto start = progress::clock::now();
    shown.show(1, 5.0, start);
    shown.show(2, 4.5, start + std::chrono::seconds(1));    // too soon for a line
    shown.show(21, 4.0, start + std::chrono::seconds(40));  // 20 steps in 40 s, 79 are left
  }
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  EXPECT_EQ(text,
            "stage 2: 100 steps\n"
            "stage 2: step 21 of 100, loss 4.0000, 0.5 steps/s, 2 min 38 s left\n");
}

TEST(Progress, DurationsReadWell) {
  EXPECT_EQ(format_duration(0.4), "0 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(60), "1 min 0 s");
  EXPECT_EQ(format_duration(7321), "2 h 2 min");
}

class Folder : public testing::Test {
 protected:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "zero_cli_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() override { fs::remove_all(path_); }
  [[nodiscard]] std::string at(const std::string& name) const { return (path_ / name).string(); }
  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::recursive_directory_iterator(path_), fs::recursive_directory_iterator()));
  }
  fs::path path_;
};

TEST_F(Folder, IsCheckedWithoutBeingMade) {
  EXPECT_NO_THROW(check_writable(at("a/b c/d")));
  EXPECT_NO_THROW(check_writable(at("")));
  EXPECT_EQ(entries(), 0U);
}

TEST_F(Folder, ThatIsAFileIsRefused) {
  std::ofstream(at("file")) << "x";
  for (const char* path : {"file", "file/below"}) {
    try {
      check_writable(at(path));
      FAIL() << path;
    } catch (const invalid_argument& e) {
      EXPECT_NE(std::string(e.what()).find("is not a folder"), std::string::npos) << e.what();
    }
  }
}

TEST_F(Folder, FilesAreReplacedWhole) {
  const mode_t mask = umask(027);
  write_whole(at("new/one"), "f.json", std::string(100'000, 'a'));
  write_whole(at("new/one"), "f.json", "short\n");
  std::ifstream file(at("new/one/f.json"));
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), "short\n");
  EXPECT_EQ(entries(), 3U);  // new, one, f.json: nothing beside it
  struct stat status {};
  ASSERT_EQ(stat(at("new/one/f.json").c_str(), &status), 0);
  umask(mask);
  EXPECT_EQ(status.st_mode & 0777, 0640U);
}

TEST_F(Folder, AFailureLeavesNothingBeside) {
  fs::create_directory(at("taken"));
  fs::create_directory(at("taken/f.json"));  // a folder cannot be replaced by a file
  EXPECT_THROW(write_whole(at("taken"), "f.json", "text"), io_error);
  EXPECT_EQ(entries(), 2U);
}

}  // namespace
}  // namespace zero::cli
