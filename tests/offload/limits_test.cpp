// Under limits, filters and full disks, and after a kill: processes of their own, since a process
// does not get rid of these again.
#include "offload/child.hpp"
#include "offload/scratch.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/record_store.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;

constexpr std::uint64_t bytes = 300000;

// "NAME: right" or "NAME: wrong", and what the store has to say, each on a line.
std::string use_store(const std::string& directory, bool registered = true) {
  record_store store(make_disk_engine(disk_engine_kind::automatic, {4, 2}), swap_file(directory),
                     {bytes, bytes});
  const aligned_memory memory(2 * store.layout().largest());
  if (registered) (void)store.register_memory(memory.get(), 2 * store.layout().largest());
  bool right = true;
  for (std::uint64_t generation = 1; generation <= 3; ++generation) {
    for (std::size_t i = 0; i < 2; ++i) {
      fill(memory.get(), bytes, i, generation);
      store.write(i, memory.get(), generation).wait();
    }
    for (std::size_t i = 0; i < 2; ++i) {
      store.read(i, memory.get()).wait();
      right = right && first_difference(memory.get(), bytes, i, generation) == -1;
    }
  }
  std::string said = std::string(store.engine_name()) + (right ? ": right" : ": wrong");
  for (const std::string& note : store.notes()) said += "\n" + note;
  if (registered) store.unregister_memory(memory.get());
  return said;
}

bool has(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

// Makes the kernel answer a system call with an errno, for this process from now on.
bool forbid(unsigned number, unsigned error_number) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error_number),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(limits, io_uring_forbidden_by_a_filter) {
  const scratch_directory scratch;
  for (const int error_number : {EPERM, ENOSYS}) {
    const std::string said = in_child([&] {
      if (!forbid(__NR_io_uring_setup, static_cast<unsigned>(error_number))) return std::string("");
      return use_store(scratch.path());
    });
    if (said.empty()) GTEST_SKIP() << "no system call filters here";
    EXPECT_TRUE(has(said, "threads: right")) << said;
    EXPECT_TRUE(has(said, "io_uring is not to be had (")) << said;
  }
}

TEST(limits, io_uring_asked_for_and_forbidden) {
  const std::string said = in_child([&] {
    if (!forbid(__NR_io_uring_setup, EPERM)) return std::string("");
    try {
      (void)make_disk_engine(disk_engine_kind::uring);
    } catch (const io_error& refused) {
      return "errno " + std::to_string(refused.error_number);
    }
    return std::string("made");
  });
  if (said.empty()) GTEST_SKIP() << "no system call filters here";
  EXPECT_TRUE(said == "errno 1" || said == "errno 38") << said;  // 38: built without liburing
}

TEST(limits, io_uring_forbidden_once_the_ring_is_there) {
  const scratch_directory scratch;
  const std::string said = in_child([&]() -> std::string {
    record_store store(make_disk_engine(), swap_file(scratch.path()), {bytes});
    if (std::string(store.engine_name()) != "uring") return "";
    if (!forbid(__NR_io_uring_enter, EPERM)) return "";
    const aligned_memory memory(store.layout().largest());
    try {
      store.write(0, memory.get(), 1).wait();
    } catch (const io_error& refused) {
      try {
        (void)store.write(0, memory.get(), 1);
      } catch (const io_error& again) {
        return std::string(again.what()) == refused.what() ? "the same twice" : again.what();
      }
    }
    return "no error";
  });
  if (said.empty()) GTEST_SKIP() << "no io_uring or no system call filters here";
  EXPECT_EQ(said, "the same twice");
}

// Only a user without privileges is held to the limit.
std::string with_memlock(rlim_t limit, const std::string& directory) {
  return in_child([&]() -> std::string {
    const rlimit locked{limit, limit};
    if (setrlimit(RLIMIT_MEMLOCK, &locked) != 0) return "";
    if (geteuid() == 0) {
      constexpr uid_t nobody = 65534;
      if (chown(directory.c_str(), nobody, nobody) != 0 || setgid(nobody) != 0 ||
          setuid(nobody) != 0) {
        return "";
      }
    }
    return use_store(directory);
  });
}

TEST(limits, little_locked_memory) {
  const scratch_directory scratch("/tmp");
  for (const rlim_t limit : {rlim_t{64} << 10, rlim_t{0}}) {
    const std::string said = with_memlock(limit, scratch.path());
    if (said.empty()) GTEST_SKIP() << "limits cannot be set here";
    EXPECT_TRUE(has(said, ": right")) << said;
    if (has(said, "uring: ")) {
      EXPECT_TRUE(has(said, "limit on locked memory")) << said;
    }
  }
}

// ---- file systems of our own, in a mount namespace ---------------------------------------------

std::string on_tmpfs(const std::string& directory, unsigned long flags, const std::string& options,
                     const std::function<std::string()>& body) {
  return in_child([&]() -> std::string {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", directory.c_str(), "tmpfs", flags, options.c_str()) != 0) {
      return "";
    }
    return body();
  });
}

TEST(limits, a_small_disk_is_full_before_anything_is_written) {
  const scratch_directory scratch;
  const std::string said = on_tmpfs(scratch.path(), 0, "size=1m,mode=0700", [&]() -> std::string {
    try {
      record_store store(make_disk_engine(), swap_file(scratch.path()), {1 << 20, 4096});
    } catch (const out_of_memory& full) {
      struct statvfs system {};
      if (statvfs(scratch.path().c_str(), &system) != 0) return "no status";
      return std::to_string(full.requested) + " " + std::to_string(full.available) + " " +
             std::to_string(system.f_bfree * system.f_frsize);
    }
    return "accepted";
  });
  if (said.empty()) GTEST_SKIP() << "file systems cannot be mounted here";
  EXPECT_EQ(said, "1052672 1048576 1048576");
}

TEST(limits, a_disk_filled_by_somebody_else_afterwards_does_not_matter) {
  const scratch_directory scratch;
  const std::string said = on_tmpfs(scratch.path(), 0, "size=1m,mode=0700", [&]() -> std::string {
    record_store store(make_disk_engine(), swap_file(scratch.path()), {600000});
    const int other = open((scratch / "other").c_str(), O_CREAT | O_WRONLY, 0600);
    const std::vector<char> block(4096, 'x');
    while (write(other, block.data(), block.size()) > 0) {
    }
    if (errno != ENOSPC) return "not full";
    const aligned_memory memory(store.layout().largest());
    fill(memory.get(), 600000, 0, 1);
    store.write(0, memory.get(), 1).wait();
    store.read(0, memory.get()).wait();
    return first_difference(memory.get(), 600000, 0, 1) == -1 ? "right" : "wrong";
  });
  if (said.empty()) GTEST_SKIP() << "file systems cannot be mounted here";
  EXPECT_EQ(said, "right");
}

TEST(limits, a_read_only_file_system) {
  const scratch_directory scratch;
  const std::string said =
      on_tmpfs(scratch.path(), MS_RDONLY, "size=1m,mode=0700", [&]() -> std::string {
        try {
          const swap_file file(scratch.path());
        } catch (const invalid_argument& refused) {
          return refused.what();
        }
        return "accepted";
      });
  if (said.empty()) GTEST_SKIP() << "file systems cannot be mounted here";
  EXPECT_TRUE(has(said, "cannot be written to: Read-only file system")) << said;
}

// ---- kills -------------------------------------------------------------------------------------

constexpr std::uint64_t megabytes = 16;

// Two processes that swap in one directory until they are killed. "" if all went as it should.
std::string kill_two(const scratch_directory& scratch) {
  const auto swap_for_ever = [&](const std::function<void()>& begun) {
    record_store store(make_disk_engine(), swap_file(scratch.path()),
                       std::vector<std::uint64_t>(megabytes, 1 << 20));
    const aligned_memory memory(1 << 20);
    for (std::uint64_t i = 0;; ++i) {
      (void)store.write(i % megabytes, memory.get(), i);
      if (i == 40) begun();
    }
  };
  endless_child first(swap_for_ever);
  endless_child second(swap_for_ever);
  if (!first.begun() || !second.begun()) return "did not begin";
  if (!scratch.empty()) return "there are names while they run";
  if (!first.end() || !second.end()) return "ended by itself";
  return scratch.empty() ? "" : "there are names after they were killed";
}

TEST(limits, killed_while_swapping_no_name_is_left) {
  const scratch_directory scratch;
  for (int round = 0; round < 10; ++round) ASSERT_EQ(kill_two(scratch), "");
}

// On a disk of its own, since others write to the real one.
TEST(limits, killed_while_swapping_no_space_is_used) {
  const scratch_directory scratch;
  const std::string said = on_tmpfs(scratch.path(), 0, "size=64m,mode=0700", [&]() -> std::string {
    const auto free_blocks = [&] {
      struct statvfs system {};
      return statvfs(scratch.path().c_str(), &system) == 0 ? system.f_bfree : 0;
    };
    const auto before = free_blocks();
    for (int round = 0; round < 5; ++round) {
      const std::string wrong = kill_two(scratch);
      if (!wrong.empty()) return wrong;
      // A ring may hold its files for a moment after its process has been waited for.
      const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(30);
      while (free_blocks() != before && std::chrono::steady_clock::now() < latest) {
        std::this_thread::yield();
      }
      if (free_blocks() != before) return "space is used";
    }
    return "nothing is left";
  });
  if (said.empty()) GTEST_SKIP() << "file systems cannot be mounted here";
  EXPECT_EQ(said, "nothing is left");
}

}  // namespace
}  // namespace zero::testing
