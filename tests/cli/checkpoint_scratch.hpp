#pragma once
// A folder, a text and a model of a few hundred parameters, for tests of runs that keep
// checkpoints.

#include "cli/ran.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace zero::test {

using words = std::vector<std::string>;

inline words joined(words first, const words& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class Checkpoints : public testing::Test {
 protected:
  using json = nlohmann::json;

  Checkpoints()
      : mark_("ZERO_TEST_MARK=" + std::to_string(getpid()) +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "zero checkpoint XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::ofstream text(at("text"));
    for (int i = 0; i < 500; ++i) text << "line " << i % 7 << " of the text\n";
  }
  ~Checkpoints() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }

  [[nodiscard]] words train(const words& options) const {
    return joined({ZERO_COMMAND, "train", "--layers", "1", "--channels", "8", "--heads", "2",
                   "--vocabulary", "256", "--context", "8", "--text", at("text")},
                  options);
  }
  // 2 ranks at stage 3 for `steps` steps, reporting to `report`.
  [[nodiscard]] words job(const std::string& report, int steps, const words& more) const {
    return train(joined(
        {"--ranks", "2", "--stage", "3", "--steps", std::to_string(steps), "--json", at(report)},
        more));
  }
  ran run_job(const std::string& report, int steps, const words& more) {
    return run(job(report, steps, more), {mark_});
  }

  [[nodiscard]] std::vector<json> lines_of(const std::string& report) const {
    std::vector<json> lines;
    std::ifstream file(at(report));
    for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
    return lines;
  }
  [[nodiscard]] std::vector<json> lines_of(const std::string& report,
                                           const std::string& schema) const {
    std::vector<json> lines;
    for (const json& line : lines_of(report)) {
      if (line.at("schema") == schema) lines.push_back(line);
    }
    return lines;
  }
  [[nodiscard]] static std::vector<int> steps_of(const std::vector<json>& lines) {
    std::vector<int> steps;
    for (const json& line : lines) steps.push_back(line.at("step").get<int>());
    return steps;
  }
  // What is in a directory.
  [[nodiscard]] std::set<std::string> names_in(const std::string& name) const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(at(name))) {
      names.insert(entry.path().filename());
    }
    return names;
  }
  [[nodiscard]] std::set<std::string> checkpoints_in(const std::string& name) const {
    std::set<std::string> names;
    for (const std::string& each : names_in(name)) {
      if (each.rfind("step-", 0) == 0) names.insert(each);
    }
    return names;
  }
  void copy(const std::string& from, const std::string& to) const {
    std::filesystem::create_directories(std::filesystem::path(at(to)).parent_path());
    std::filesystem::copy(at(from), at(to), std::filesystem::copy_options::recursive);
  }
  void flip(const std::string& name, std::uint64_t byte) const {
    std::fstream file(at(name), std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(byte));
    const int before = file.get();
    file.seekp(static_cast<std::streamoff>(byte));
    file.put(static_cast<char>(before ^ 0x10));
  }
  static void expect_refused(const ran& r, const std::string& part) {
    EXPECT_EQ(r.exit_code, 2) << r.errors;
    EXPECT_NE(r.errors.find(part), std::string::npos) << r.errors;
    EXPECT_EQ(lines_in(r.errors), 1) << r.errors;
    EXPECT_EQ(r.output, "");
  }

  std::string mark_;
  std::filesystem::path folder_;
};

}  // namespace zero::test
