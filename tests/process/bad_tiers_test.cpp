// `zero train` with state on tiers that cannot be had: one line that names the option and what was
// given, the exit code of its class, and nothing written; or, where there is another way, that way.

#include "cli/ran.hpp"
#include "process/small_disk.hpp"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using words = std::vector<std::string>;

const words on_disk{"--offload-optimizer", "nvme", "--offload-parameters", "nvme"};

class BadTiers : public ::testing::Test {
 protected:
  BadTiers() {
    std::string pattern = (fs::temp_directory_path() / "zero tiers XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    fs::create_directory(at("swap"));
    std::ofstream text(at("text"));
    for (int i = 0; i < 500; ++i) text << "line " << i % 7 << " of the text\n";
  }
  ~BadTiers() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string at(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] words command(const words& options, const words& more = {},
                              const std::string& stage = "3") const {
    words all{ZERO_COMMAND, "train", "--text",  at("text"), "--ranks",      "2",  "--layers", "4",
              "--channels", "128",   "--heads", "2",        "--context",    "8",  "--steps",  "2",
              "--stage",    stage,   "--json",  at("json"), "--deadline",   "30", "--batch",  "2",
              "--sequence", "8",     "--seed",  "3",        "--vocabulary", "257"};
    all.insert(all.end(), options.begin(), options.end());
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // One line with all of `parts`, and no report.
  void expect_refused(const ran& r, int exit_code, const words& parts) const {
    EXPECT_EQ(r.exit_code, exit_code) << r.errors;
    EXPECT_EQ(lines_in(r.errors), 1) << r.errors;
    EXPECT_EQ(r.output, "");
    for (const std::string& part : parts) {
      EXPECT_NE(r.errors.find(part), std::string::npos) << part << " in " << r.errors;
    }
    EXPECT_FALSE(fs::exists(at("json")));
    EXPECT_TRUE(fs::is_empty(at("swap")));
  }
  // The digest in what a run that went well printed.
  static std::string digest_of(const ran& r) {
    EXPECT_EQ(r.exit_code, 0) << r.errors;
    // The one word of the output that is 32 hexadecimal digits.
    std::istringstream output(r.output);
    for (std::string word; output >> word;) {
      if (word.size() == 32 && word.find_first_not_of("0123456789abcdef") == std::string::npos) {
        return word;
      }
    }
    return "";
  }

  fs::path folder_;
};

TEST_F(BadTiers, FoldersThatSwapFilesCannotLieIn) {
  fs::create_directory_symlink(at("swap"), at("link"));
  fs::create_directory(at("open"));
  fs::permissions(at("open"), fs::perms::all);
  std::ofstream(at("file")) << "kept";
  for (const auto& [name, why] :
       std::vector<std::pair<std::string, std::string>>{{"missing", "No such file"},
                                                        {"link", "symbolic link"},
                                                        {"open", "writable by others"},
                                                        {"file", "no directory"}}) {
    expect_refused(run(command(on_disk, {"--nvme-path", at(name)})), 2,
                   {"--nvme-path", at(name), why});
  }
  EXPECT_TRUE(fs::is_empty(at("open")));
  EXPECT_FALSE(fs::exists(at("missing")));
  EXPECT_EQ(fs::file_size(at("file")), 4U);
}

TEST_F(BadTiers, AFolderOfAnother) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  fs::create_directory(at("foreign"));
  ASSERT_EQ(chown(at("foreign").c_str(), 12345, 12345), 0);
  expect_refused(run(command(on_disk, {"--nvme-path", at("foreign")})), 2,
                 {"--nvme-path", at("foreign"), "belongs to user 12345"});
  EXPECT_TRUE(fs::is_empty(at("foreign")));
}

TEST_F(BadTiers, AFileSystemThatIsReadOnly) {
  const std::string why = own_mounts();
  if (!why.empty()) GTEST_SKIP() << why;
  fs::create_directory(at("fixed"));
  ASSERT_EQ(mount("none", at("fixed").c_str(), "tmpfs", MS_RDONLY, "size=1m,mode=700"), 0);
  expect_refused(run(command(on_disk, {"--nvme-path", at("fixed")})), 2,
                 {"--nvme-path", at("fixed"), "Read-only"});
  EXPECT_EQ(umount(at("fixed").c_str()), 0);
}

// 2 ranks take 12.7 MiB. That one of them would have had the room is no excuse to begin.
TEST_F(BadTiers, AFileSystemThatIsTooSmall) {
  for (const int megabytes : {4, 11}) {
    fs::create_directory(at(std::to_string(megabytes)));
    const small_disk disk(at(std::to_string(megabytes)), megabytes);
    if (!disk.why().empty()) GTEST_SKIP() << disk.why();
    const std::uint64_t before = disk.free_bytes();
    const std::uint64_t available = fs::space(disk.path()).available;
    expect_refused(
        run(command(on_disk, {"--nvme-path", disk.path()})), 6,
        {"--nvme-path", disk.path(), "asked, " + std::to_string(available) + " available"});
    EXPECT_TRUE(fs::is_empty(disk.path()));
    EXPECT_EQ(disk.free_bytes(), before);
  }
  fs::create_directory(at("24"));
  const small_disk disk(at("24"), 24);
  const std::string expected = digest_of(run(command({})));
  EXPECT_EQ(digest_of(run(command(on_disk, {"--nvme-path", disk.path()}))), expected);
}

// The folder is not even looked at: there is none.
TEST_F(BadTiers, ABudgetThatIsTooSmallBeforeAnyFileIsMade) {
  const auto with = [&](const std::string& budget, const std::string& folder) {
    return run(command(on_disk, {"--memory-budget", budget, "--nvme-path", at(folder)}));
  };
  const ran first = with("1KiB", "missing");
  expect_refused(first, 6, {"--memory-budget 1024"});
  const std::string mark = "the smallest that would do is ";
  const std::size_t place = first.errors.find(mark);
  ASSERT_NE(place, std::string::npos) << first.errors;
  const std::uint64_t smallest = std::stoull(first.errors.substr(place + mark.size()));
  for (const std::uint64_t less : {std::uint64_t{0}, smallest / 2, smallest - 1}) {
    expect_refused(
        with(std::to_string(less), "missing"), 6,
        {"--memory-budget " + std::to_string(less) + " ", mark + std::to_string(smallest)});
  }
  expect_refused(with(std::to_string(smallest), "missing"), 2, {"--nvme-path", at("missing")});
  const ran enough = with(std::to_string(smallest), "swap");
  const std::string digest = digest_of(enough);
  EXPECT_EQ(digest, digest_of(run(command({}))));
  EXPECT_TRUE(fs::is_empty(at("swap")));
}

TEST_F(BadTiers, ClassesThatTheStageDoesNotShard) {
  for (const std::string stage : {"0", "1", "2"}) {
    for (const std::string where : {"cpu", "nvme"}) {
      expect_refused(
          run(command({"--offload-parameters", where}, {"--nvme-path", at("swap")}, stage)), 2,
          {"--offload-parameters " + where, "--stage " + stage});
    }
  }
  for (const std::string stage : {"0", "1"}) {
    expect_refused(
        run(command({"--offload-gradients", "nvme"}, {"--nvme-path", at("swap")}, stage)), 2,
        {"--offload-gradients nvme", "--stage " + stage});
  }
}

TEST_F(BadTiers, ValuesThatAreNone) {
  for (const words& given : {words{"--offload-ratio", "1.5"},
                             {"--offload-ratio", "nan"},
                             {"--offload-ratio", "-0.1"},
                             {"--offload-optimizer", "gpu"},
                             {"--offload-parameters", "disk"},
                             {"--offload-gradients", "CPU"},
                             {"--memory-budget", "-1"},
                             {"--memory-budget", "much"}}) {
    words options = given;
    if (given.front() == "--offload-ratio")
      options.insert(options.end(), on_disk.begin(), on_disk.end());
    expect_refused(run(command(options, {"--nvme-path", at("swap")})), 2, {given[0], given[1]});
  }
}

// What there is another way for: the same bits, and one line that says which way.
TEST_F(BadTiers, LittleLockedMemoryAndNoRings) {
  const std::string digest = digest_of(run(command({})));
  ASSERT_EQ(digest.size(), 32U);
  const words swapped = command(on_disk, {"--nvme-path", at("swap")});
  for (const auto& [confined, tiers, note] : std::vector<std::tuple<words, words, std::string>>{
           {{"--memlock", "65536"}, swapped, "io_uring"},
           {{"--memlock", "65536"}, command({"--offload-optimizer", "cpu"}), ""},
           {{"--no-io-uring"}, swapped, "threads with pread and pwrite do"}}) {
    words whole{ZERO_CONFINED};
    whole.insert(whole.end(), confined.begin(), confined.end());
    whole.emplace_back("--");
    whole.insert(whole.end(), tiers.begin(), tiers.end());
    const ran r = run(whole);
    if (r.exit_code == 77) GTEST_SKIP() << r.errors;
    EXPECT_EQ(digest_of(r), digest);
    if (note.empty()) continue;
    const std::size_t first = r.errors.find(note);
    EXPECT_NE(first, std::string::npos) << confined.front() << ": " << r.errors;
    EXPECT_EQ(r.errors.find(note, first + 1), std::string::npos) << r.errors;
  }
  EXPECT_TRUE(fs::is_empty(at("swap")));
}

}  // namespace
}  // namespace zero::test
