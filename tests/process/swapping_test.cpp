// Runs whose whole state is on disk, killed, interrupted and next to one another: nothing is left,
// and nobody touches the files of another.

#include "cli/ran.hpp"
#include "process/small_disk.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using words = std::vector<std::string>;
using clock = std::chrono::steady_clock;

double since(clock::time_point begin) {
  return std::chrono::duration<double>(clock::now() - begin).count();
}

// Whether `holds` came true within so many seconds.
template <typename Condition>
bool within(double seconds, const Condition& holds) {
  const auto begin = clock::now();
  while (!holds()) {
    if (since(begin) > seconds) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

class Swapping : public ::testing::Test {
 protected:
  Swapping() {
    std::string pattern = (fs::temp_directory_path() / "zero swapping XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    fs::create_directory(at("swap"));
    std::ofstream text(at("text"));
    for (int i = 0; i < 500; ++i) text << "line " << i % 7 << " of the text\n";
  }
  ~Swapping() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  // 2 ranks with everything on disk in `swap`; what they report goes to at(report).
  [[nodiscard]] words command(const std::string& swap, const std::string& report, int steps) const {
    return {ZERO_COMMAND,
            "train",
            "--text",
            at("text"),
            "--ranks",
            "2",
            "--stage",
            "3",
            "--layers",
            "4",
            "--channels",
            "128",
            "--heads",
            "2",
            "--context",
            "8",
            "--batch",
            "2",
            "--sequence",
            "8",
            "--deadline",
            "30",
            "--steps",
            std::to_string(steps),
            "--json",
            at(report),
            "--offload-optimizer",
            "nvme",
            "--offload-parameters",
            "nvme",
            "--nvme-path",
            swap,
            "--vocabulary",
            "257"};
  }
  // Steps that the report speaks of.
  [[nodiscard]] long steps_in(const std::string& report) const {
    std::ifstream file(at(report));
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  }
  [[nodiscard]] std::string digest_in(const std::string& report) const {
    std::ifstream file(at(report));
    const std::string all{std::istreambuf_iterator<char>(file), {}};
    const std::string key = "\"parameters_digest\":\"";
    const std::size_t place = all.find(key);
    return place == std::string::npos ? "" : all.substr(place + key.size(), 32);
  }

  fs::path folder_;
};

// The processes of one run: the starter and its ranks.
pid_t one_of(const std::string& mark, std::mt19937& random) {
  const std::vector<pid_t> all = processes_marked(mark);
  return all.empty() ? -1 : all[random() % all.size()];
}

#ifdef __SANITIZE_ADDRESS__
constexpr int killed_runs = 30;  // they take several times as long
#else
constexpr int killed_runs = 100;
#endif

// Many runs, several at a time. Of four, three are killed in the steps and one at any time at all.
// The starter or a rank dies; what becomes of the others is theirs.
TEST_F(Swapping, KilledLeavesNothing) {
  const small_disk disk(folder_.string(), 192);
  const std::string swap = disk.why().empty() ? disk.path() : at("swap");
  const std::uint64_t bytes = disk.free_bytes();
  const std::uint64_t files = disk.free_files();
  constexpr int together = 10;
  std::mt19937 random(7);
  const std::string mark = "ZERO_SWAPPING_TEST=" + folder_.string();
  int in_steps = 0;
  std::uint64_t most_used = 0;
  for (int round = 0; round < killed_runs / together; ++round) {
    std::vector<std::unique_ptr<running>> runs;
    words reports;
    words marks;
    for (int i = 0; i < together; ++i) {
      reports.push_back("report " + std::to_string(round * together + i));
      marks.push_back(mark + " " + reports.back());
      runs.push_back(std::make_unique<running>(command(swap, reports.back(), 1000000),
                                               words{marks.back(), "OPENBLAS_NUM_THREADS=1"}));
    }
    for (int i = 0; i < together; ++i) {
      const auto at_once = static_cast<std::size_t>(i);
      const bool anywhere = random() % 4 == 0;
      if (!anywhere) {
        ASSERT_TRUE(within(30, [&] { return steps_in(reports[at_once]) > 0; })) << reports[at_once];
      }
      most_used = std::max(most_used, bytes - disk.free_bytes());
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
      const pid_t victim = one_of(marks[at_once], random);
      if (victim > 0) kill(victim, SIGKILL);
      in_steps += steps_in(reports[at_once]) > 0 ? 1 : 0;
    }
    for (int i = 0; i < together; ++i) {
      const auto at_once = static_cast<std::size_t>(i);
      const ran r = runs[at_once]->finish();
      EXPECT_TRUE(r.exit_code == 128 + SIGKILL || r.exit_code == 3) << r.exit_code << r.errors;
      EXPECT_TRUE(all_gone(marks[at_once], 10)) << marks[at_once];
    }
  }
  EXPECT_GE(in_steps, killed_runs / 10 * 6);
  EXPECT_TRUE(fs::is_empty(swap));
  if (!disk.why().empty()) GTEST_SKIP() << "space used was not looked at: " << disk.why();
  EXPECT_GT(most_used, std::uint64_t{3} << 20U);
  // The kernel lets go of a dead process's rings, and of their files, some time after its end.
  // It gives back a file's bytes before its entry.
  EXPECT_TRUE(within(30, [&] { return disk.free_bytes() == bytes && disk.free_files() == files; }))
      << disk.free_bytes() << " of " << bytes << ", " << disk.free_files() << " of " << files;
}

TEST_F(Swapping, TwoJobsInOneFolderDoNotMeet) {
  words alone = command(at("swap"), "alone", 5);
  ASSERT_EQ(run(alone).exit_code, 0);
  const std::string digest = digest_in("alone");
  ASSERT_EQ(digest.size(), 32U);
  std::vector<std::unique_ptr<running>> jobs;
  for (const char* name : {"first", "second"}) {
    jobs.push_back(std::make_unique<running>(command(at("swap"), name, 5), words{}));
  }
  for (const auto& job : jobs) {
    const ran r = job->finish();
    EXPECT_EQ(r.exit_code, 0) << r.errors;
  }
  for (const char* name : {"first", "second"}) EXPECT_EQ(digest_in(name), digest);
  EXPECT_TRUE(fs::is_empty(at("swap")));
}

TEST_F(Swapping, InterruptedEndsSoonAndLeavesNothing) {
  std::mt19937 random(3);
  for (int i = 0; i < 5; ++i) {
    const std::string report = "report " + std::to_string(i);
    const std::string mark = "ZERO_SWAPPING_TEST=" + folder_.string() + report;
    running job(command(at("swap"), report, 1000000), {mark});
    ASSERT_TRUE(within(30, [&] { return steps_in(report) > 0; }));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 50000));
    const auto begin = clock::now();
    kill(job.id(), SIGINT);
    const ran r = job.finish();
    EXPECT_LT(since(begin), 5);
    EXPECT_EQ(r.exit_code, 128 + SIGINT) << r.errors;
    EXPECT_TRUE(all_gone(mark, 1)) << mark;
    EXPECT_TRUE(fs::is_empty(at("swap")));
  }
}

}  // namespace
}  // namespace zero::test
