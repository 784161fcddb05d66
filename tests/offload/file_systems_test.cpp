// Swapping on file systems that are small, full, read-only or in memory, beside another job, and
// killed in the middle. Each is mounted for the test alone, in a process of its own, and is gone
// with it: tmpfs, and ext4 in a file.
#include "offload/child.hpp"
#include "offload/scratch.hpp"
#include "offload/store_use.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/record_store.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;

std::uint64_t free_bytes(const std::string& directory) {
  struct statvfs system {};
  return statvfs(directory.c_str(), &system) == 0 ? system.f_bavail * system.f_frsize : 0;
}

class file_systems : public ::testing::TestWithParam<const char*> {
 protected:
  // What `body` says in a directory on a file system of so many MiB; empty: it cannot be had here.
  std::string on(int mebibytes, const std::function<std::string(const std::string&)>& body) {
    return in_child([&]() -> std::string {
      const std::string top = scratch_ / "mounted";
      if (mkdir(top.c_str(), 0700) != 0 || unshare(CLONE_NEWNS) != 0 ||
          mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          !mount_at(top, mebibytes)) {
        return "";
      }
      const std::string directory = top + "/swap";
      if (mkdir(directory.c_str(), 0700) != 0) return "no directory";
      return body(directory);
    });
  }

  const scratch_directory scratch_;

 private:
  [[nodiscard]] bool mount_at(const std::string& top, int mebibytes) const {
    const std::string size = std::to_string(mebibytes) + "m";
    if (GetParam() == std::string("tmpfs")) {
      return mount("tmpfs", top.c_str(), "tmpfs", 0, ("size=" + size + ",mode=0700").c_str()) == 0;
    }
    const std::string image = scratch_ / "image";
    const std::string make = "truncate -s " + size + " " + image +
                             " && mkfs.ext4 -q -F -b 4096 -m 0 " + image + " && mount -o loop " +
                             image + " " + top;
    return std::system(("PATH=$PATH:/sbin:/usr/sbin; (" + make + ") >/dev/null 2>&1").c_str()) == 0;
  }
};

#define SKIP_WHERE_NOT_MOUNTED(said) \
  if ((said).empty()) GTEST_SKIP() << GetParam() << " cannot be mounted here"

TEST_P(file_systems, small_one_is_full_before_anything_is_written) {
  const std::string said = on(16, [&](const std::string& directory) -> std::string {
    const std::uint64_t before = free_bytes(directory);
    try {
      record_store store(make_disk_engine(), swap_file(directory), {before, 4096});
    } catch (const out_of_memory& full) {
      if (full.kind() != error_class::resource) return "of another class";
      // A file takes a block or two of its own.
      if (full.requested < before + 4096 || full.available > before ||
          full.available + 65536 < before) {
        return full.what();
      }
      return free_bytes(directory) == before ? "nothing is kept" : "space is kept";
    }
    return "accepted";
  });
  SKIP_WHERE_NOT_MOUNTED(said);
  EXPECT_EQ(said, "nothing is kept");
}

// All that the system says is free: what it needs to keep books of the file may not be.
TEST_P(file_systems, all_that_is_free_is_had_or_refused_and_given_back) {
  const std::string said = on(16, [&](const std::string& directory) -> std::string {
    const std::uint64_t before = free_bytes(directory);
    for (const std::uint64_t less : {0, 4096, 8192, 65536}) {
      try {
        swap_file file(directory);
        file.reserve(before - less);
        if (free_bytes(directory) > less) return "not reserved";
      } catch (const out_of_memory&) {
        if (less == 65536) return "refused though there is room";
      }
      if (free_bytes(directory) != before) return "space is kept";
    }
    return "right";
  });
  SKIP_WHERE_NOT_MOUNTED(said);
  EXPECT_EQ(said, "right");
}

TEST_P(file_systems, filled_by_somebody_else_afterwards_does_not_matter) {
  const std::string said = on(16, [&](const std::string& directory) -> std::string {
    constexpr std::uint64_t bytes = 600000;
    record_store store(make_disk_engine(), swap_file(directory), {bytes, bytes});
    const int other = open((directory + "/other").c_str(), O_CREAT | O_WRONLY, 0600);
    const std::vector<char> block(4096, 'x');
    while (write(other, block.data(), block.size()) > 0) {
    }
    if (errno != ENOSPC) return "not full";
    const aligned_memory memory(store.layout().largest());
    bool right = true;
    for (std::uint64_t generation = 1; generation <= 3; ++generation) {
      for (std::size_t i = 0; i < 2; ++i) {
        fill(memory.get(), bytes, i, generation);
        store.write(i, memory.get(), generation).wait();
        store.read(i, memory.get()).wait();
        right = right && first_difference(memory.get(), bytes, i, generation) == -1;
      }
    }
    return right ? "right" : "wrong";
  });
  SKIP_WHERE_NOT_MOUNTED(said);
  EXPECT_EQ(said, "right");
}

TEST_P(file_systems, read_only) {
  const std::string said = on(16, [&](const std::string& directory) -> std::string {
    const std::string top = directory.substr(0, directory.rfind('/'));
    if (mount("", top.c_str(), "", MS_REMOUNT | MS_RDONLY, nullptr) != 0) return "";
    try {
      const swap_file file(directory);
    } catch (const invalid_argument& refused) {
      return refused.what();
    }
    return "accepted";
  });
  SKIP_WHERE_NOT_MOUNTED(said);
  EXPECT_TRUE(has(said, "cannot be written to: Read-only file system")) << said;
}

TEST_P(file_systems, in_memory_is_used_through_the_page_cache_and_says_so_once) {
  const std::string said =
      on(16, [&](const std::string& directory) { return use_store(directory); });
  SKIP_WHERE_NOT_MOUNTED(said);
  EXPECT_TRUE(has(said, ": right")) << said;
  const std::size_t first = said.find("go through the page cache");
  EXPECT_EQ(first != std::string::npos, GetParam() == std::string("tmpfs")) << said;
  if (first == std::string::npos) return;
  EXPECT_EQ(said.find("page cache", first + 20), std::string::npos) << said;
}

TEST_P(file_systems, two_jobs_in_one_directory_are_both_right) {
  const std::string said = on(16, [&](const std::string& directory) -> std::string {
    const auto job = [&] { return use_store(directory, 0, 200); };
    speaking_child first(job), second(job);
    return first.said() + " " + second.said();
  });
  SKIP_WHERE_NOT_MOUNTED(said);
  const std::size_t one = said.find(": right");
  ASSERT_NE(one, std::string::npos) << said;
  EXPECT_NE(said.find(": right", one + 1), std::string::npos) << said;
}

// ---- kills -------------------------------------------------------------------------------------

bool nothing_in(const std::string& directory) { return std::filesystem::is_empty(directory); }

// Two processes that swap in one directory until they are killed, after they have begun and then
// written `writes` times. "" if all went as it should.
std::string kill_two(const std::string& directory, std::uint64_t writes) {
  constexpr std::uint64_t megabytes = 16;
  const auto swap_for_ever = [&](const std::function<void()>& begun) {
    if (writes == 0) begun();  // killed on its way into it
    record_store store(make_disk_engine(), swap_file(directory),
                       std::vector<std::uint64_t>(megabytes, 1 << 20));
    const aligned_memory memory(1 << 20);
    for (std::uint64_t i = 1;; ++i) {
      (void)store.write(i % megabytes, memory.get(), i);
      if (i % 3 == 0) store.read(i % megabytes, memory.get()).wait();
      if (i == writes) begun();
    }
  };
  endless_child first(swap_for_ever);
  endless_child second(swap_for_ever);
  if (!first.begun() || !second.begun()) return "did not begin";
  if (!nothing_in(directory)) return "there are names while they run";
  if (!first.end() || !second.end()) return "ended by itself";
  return nothing_in(directory) ? "" : "there are names after they were killed";
}

TEST_P(file_systems, a_hundred_kills_leave_no_name_and_no_space_used) {
  const std::string said = on(64, [&](const std::string& directory) -> std::string {
    const std::uint64_t before = free_bytes(directory);
    for (std::uint64_t round = 0; round < 50; ++round) {
      const std::string wrong = kill_two(directory, round % 25);
      if (!wrong.empty()) return wrong;
      // A ring may hold its files for a moment after its process has been waited for.
      const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      while (free_bytes(directory) != before && std::chrono::steady_clock::now() < latest) {
        std::this_thread::yield();
      }
      if (free_bytes(directory) != before) return "space is used";
    }
    return "nothing is left";
  });
  SKIP_WHERE_NOT_MOUNTED(said);
  EXPECT_EQ(said, "nothing is left");
}

INSTANTIATE_TEST_SUITE_P(all, file_systems, ::testing::Values("tmpfs", "ext4"),
                         [](const auto& test) { return std::string(test.param); });

// Where nothing can be mounted, at least the names.
TEST(killed, while_swapping_no_name_is_left) {
  const scratch_directory scratch;
  for (std::uint64_t round = 0; round < 10; ++round) {
    ASSERT_EQ(kill_two(scratch.path(), 4 * round), "");
  }
}

}  // namespace
}  // namespace zero::testing
