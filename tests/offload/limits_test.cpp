// Under limits and filters, and as another user: processes of their own, since a process does not
// get rid of these again.
#include "offload/child.hpp"
#include "offload/scratch.hpp"
#include "offload/store_use.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/record_store.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>

namespace zero::testing {
namespace {

using namespace zero::offload;

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
    record_store store(make_disk_engine(), swap_file(scratch.path()), {used_bytes});
    if (std::string(store.engine_name()) != "uring") return "";
    if (!forbid(__NR_io_uring_enter, EPERM)) return "";
    const aligned_memory memory(store.layout().largest());
    try {
      store.write(0, memory.get(), 1).wait();
    } catch (const io_error& refused) {
      if (refused.kind() != error_class::resource) return "of another class";
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

constexpr uid_t nobody = 65534;

// From here on without privileges, in a child; the directory is that user's if it is to be.
bool become_nobody(const std::string& own_directory = "") {
  if (geteuid() != 0) return true;
  if (!own_directory.empty() && chown(own_directory.c_str(), nobody, nobody) != 0) return false;
  return setgid(nobody) == 0 && setuid(nobody) == 0;
}

// Only a user without privileges is held to the limit.
std::string with_memlock(rlim_t limit, const std::string& directory, std::size_t registered) {
  return in_child([&]() -> std::string {
    const rlimit locked{limit, limit};
    if (setrlimit(RLIMIT_MEMLOCK, &locked) != 0) return "";
    if (!become_nobody(directory)) return "";
    return use_store(directory, registered, 40);
  });
}

TEST(limits, little_locked_memory) {
  const scratch_directory scratch("/tmp");
  for (const rlim_t limit : {rlim_t{64} << 10, rlim_t{0}}) {
    const std::string said = with_memlock(limit, scratch.path(), 1 << 20);
    if (said.empty()) GTEST_SKIP() << "limits cannot be set here";
    EXPECT_TRUE(has(said, ": right")) << said;
    if (has(said, "uring: ")) {
      EXPECT_TRUE(has(said, "memory is not registered with io_uring (")) << said;
      EXPECT_TRUE(has(said, "limit on locked memory")) << said;
    }
  }
}

// Of what does not all fit under the limit the beginning is registered.
TEST(limits, locked_memory_for_a_part) {
  const scratch_directory scratch("/tmp");
  const std::string said = with_memlock(rlim_t{6} << 20, scratch.path(), 16 << 20);
  if (said.empty()) GTEST_SKIP() << "limits cannot be set here";
  EXPECT_TRUE(has(said, ": right")) << said;
  if (has(said, "uring: ")) {
    EXPECT_TRUE(has(said, " of 16.0 MiB of memory is registered with io_uring (")) << said;
    EXPECT_TRUE(has(said, "limit on locked memory")) << said;
  }
}

TEST(limits, no_descriptor_is_left) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors to look at what is thrown";
#endif
  const scratch_directory scratch;
  const std::string said = in_child([&]() -> std::string {
    const int next = open("/dev/null", O_RDONLY);
    if (next < 0) return "";
    close(next);
    // One more than there are: a directory can be looked at, and no file be made in it.
    for (const int more : {0, 1}) {
      const auto most = static_cast<rlim_t>(next + more);
      rlimit limit{};
      if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return "";
      limit.rlim_cur = most;
      if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return "";
      try {
        const swap_file file(scratch.path());
        return "made";
      } catch (const io_error& refused) {
        if (refused.kind() != error_class::resource || refused.error_number != EMFILE) {
          return refused.what();
        }
      }
    }
    return "refused";
  });
  if (said.empty()) GTEST_SKIP() << "limits cannot be set here";
  EXPECT_EQ(said, "refused");
}

// ---- directories of somebody else --------------------------------------------------------------

TEST(limits, a_directory_of_another_user) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const scratch_directory scratch("/tmp");
  const std::string place = scratch / "place";
  ASSERT_EQ(chmod(scratch.path().c_str(), 0755), 0);
  ASSERT_EQ(mkdir(place.c_str(), 0755), 0);
  const auto as_nobody = [&](mode_t mode) {
    EXPECT_EQ(chmod(place.c_str(), mode), 0);
    return in_child([&]() -> std::string {
      if (!become_nobody()) return "";
      try {
        return use_store(place);
      } catch (const invalid_argument& refused) {
        return refused.what();
      }
    });
  };
  for (const mode_t mode : {0755, 0777, 0700}) {
    const std::string said = as_nobody(mode);
    EXPECT_TRUE(has(said, "belongs to user 0, and this is user 65534")) << said;
  }
  EXPECT_TRUE(has(as_nobody(01777), ": right"));
  ASSERT_EQ(chmod(scratch.path().c_str(), 0700), 0);
  EXPECT_TRUE(has(as_nobody(0777), "cannot be had: Permission denied"));
}

}  // namespace
}  // namespace zero::testing
