// Limits that control groups set on memory, in trees of files that look like the system's, and in
// the system's own where it lets us.
#include "offload/child.hpp"
#include "offload/scratch.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/host_arena.hpp>

#include <gtest/gtest.h>
#include <memory_limit.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;

constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();

class group_tree : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    const std::filesystem::path file(root_.path() + path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void group_2(const std::string& path, const std::string& limit, std::uint64_t used,
               const std::string& statistics = "") {
    put("/sys/fs/cgroup" + path + "/memory.max", limit + "\n");
    put("/sys/fs/cgroup" + path + "/memory.current", std::to_string(used) + "\n");
    put("/sys/fs/cgroup" + path + "/memory.stat", statistics);
  }
  [[nodiscard]] memory_limit found() const { return limit_of_groups(root_.path()); }

  scratch_directory root_;
};

TEST_F(group_tree, nothing_is_known) {
  EXPECT_EQ(found().left, none);
  put("/proc/self/cgroup", "");
  EXPECT_EQ(found().left, none);
  put("/proc/self/cgroup", "0::/somewhere/else\nnonsense\n:\n");
  EXPECT_EQ(found().left, none);
}

TEST_F(group_tree, own_limit) {
  put("/proc/self/cgroup", "0::/jobs/one\n");
  group_2("/jobs/one", "1000000", 300000);
  EXPECT_EQ(found().left, 700000U);
  EXPECT_EQ(found().group, "/jobs/one");
  group_2("/jobs/one", "max", 300000);
  EXPECT_EQ(found().left, none);
  group_2("/jobs/one", "200000", 300000);
  EXPECT_EQ(found().left, 0U);
}

TEST_F(group_tree, pages_of_files_can_be_dropped) {
  put("/proc/self/cgroup", "0::/jobs/one\n");
  group_2("/jobs/one", "1000000", 900000,
          "anon 5\nfile 700000\ninactive_file 400000\nactive_file 100000\ninactive_anon 7\n");
  EXPECT_EQ(found().left, 600000U);
  group_2("/jobs/one", "1000000", 900000, "inactive_file 2000000\nactive_file 1\n");
  EXPECT_EQ(found().left, 1000000U);
}

TEST_F(group_tree, the_tightest_on_the_way_up) {
  put("/proc/self/cgroup", "0::/a/b/c\n");
  group_2("/a/b/c", "1000", 1);
  group_2("/a", "500", 100);  // of /a/b nothing is known
  group_2("", "max", 5);
  EXPECT_EQ(found().left, 400U);
  EXPECT_EQ(found().group, "/a");
  group_2("", "300", 200);
  EXPECT_EQ(found().left, 100U);
  EXPECT_EQ(found().group, "/");
  group_2("/other", "1", 1);  // not on the way
  EXPECT_EQ(found().left, 100U);
}

TEST_F(group_tree, of_the_first_version) {
  put("/proc/self/cgroup", "5:cpu,memory:/job\n4:memory_like:/x\n1:name=systemd:/y\n0::/\n");
  const std::string at = "/sys/fs/cgroup/memory/job/";
  put(at + "memory.limit_in_bytes", "5000\n");
  put(at + "memory.usage_in_bytes", "3000\n");
  put(at + "memory.stat", "inactive_file 1\ntotal_inactive_file 500\ntotal_active_file 400\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(found().left, 2900U);
  EXPECT_EQ(found().group, "/job");
}

// ---- the system's own ---------------------------------------------------------------------------

// A group below this process's own with a limit; gone at the end. Not valid where that is not ours
// to make.
class real_group {
 public:
  explicit real_group(std::uint64_t limit) {
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
      const auto second = line.find(':', line.find(':') + 1);
      const bool first_version = line.find(":memory:") != std::string::npos;
      if (!first_version && line.rfind("0::", 0) != 0) continue;
      const std::string name = "/zero_memory_limit_" + std::to_string(getpid());
      path_ = (first_version ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup") +
              line.substr(second + 1) + name;
      made_ = mkdir(path_.c_str(), 0755) == 0;
      if (!made_) continue;
      const char* const file = first_version ? "/memory.limit_in_bytes" : "/memory.max";
      valid_ = static_cast<bool>(std::ofstream(path_ + file) << limit << std::flush);
      return;
    }
  }
  real_group(const real_group&) = delete;
  real_group& operator=(const real_group&) = delete;
  ~real_group() {
    if (made_) rmdir(path_.c_str());
  }
  [[nodiscard]] bool valid() const { return valid_; }
  // The calling process is in it from now on.
  [[nodiscard]] bool enter() const {
    return static_cast<bool>(std::ofstream(path_ + "/cgroup.procs") << getpid() << std::flush);
  }

 private:
  std::string path_;
  bool made_ = false;
  bool valid_ = false;
};

TEST(host_arena_in_a_group, is_refused_before_it_would_be_killed) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer needs memory of its own";
#endif
  constexpr std::uint64_t limit = std::uint64_t{96} << 20;
  const real_group group(limit);
  if (!group.valid()) GTEST_SKIP() << "no control group can be made here";
  const auto attempt = [&](std::uint64_t bytes) {
    return in_child([&]() -> std::string {
      if (!group.enter()) return "not entered";
      try {
        const host_arena arena({{bytes, 1}});
        return "there";
      } catch (const out_of_memory& none_left) {
        const bool numbers = none_left.requested == bytes && none_left.available <= limit;
        return (numbers ? "refused: " : "wrong numbers: ") + std::string(none_left.what());
      }
    });
  };
  const std::string small = attempt(limit / 2);
  if (small == "not entered") GTEST_SKIP() << "no control group can be entered here";
  EXPECT_EQ(small, "there");
  const std::string large = attempt(2 * limit);
  EXPECT_EQ(large.rfind("refused: ", 0), 0U) << large;
  EXPECT_NE(large.find("zero_memory_limit_"), std::string::npos) << large;
}

}  // namespace
}  // namespace zero::testing
