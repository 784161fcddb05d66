// Files that have no name, in directories that are fit for them.
#include "offload/scratch.hpp"

#include <zero/base/error.hpp>
#include <zero/offload/swap_file.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using namespace zero::offload;

struct stat status_of(const swap_file& file) {
  struct stat found {};
  EXPECT_EQ(fstat(file.descriptor(), &found), 0);
  return found;
}

class swap_files : public ::testing::TestWithParam<swap_naming> {
 protected:
  [[nodiscard]] swap_file make(const std::string& directory) const {
    return swap_file(directory, {GetParam(), swap_caching::automatic});
  }
  scratch_directory scratch_;
};

TEST_P(swap_files, have_no_name_and_are_their_makers_alone) {
  swap_file file = make(scratch_.path());
  EXPECT_TRUE(scratch_.empty());
  file.reserve(1 << 20);
  EXPECT_TRUE(scratch_.empty());
  EXPECT_EQ(file.bytes(), 1U << 20);
  const struct stat found = status_of(file);
  EXPECT_EQ(found.st_nlink, 0U);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  EXPECT_EQ(found.st_size, 1 << 20);
  EXPECT_GE(found.st_blocks * 512, 1 << 20);  // the space is there, not only the size
  EXPECT_NE(fcntl(file.descriptor(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_P(swap_files, give_their_space_back) {
  const std::uint64_t bytes = 64 << 20;
  struct stat found {};
  {
    swap_file first = make(scratch_.path());
    first.reserve(bytes);
    swap_file second = std::move(first);
    EXPECT_EQ(second.bytes(), bytes);
    second = make(scratch_.path());  // the space of the one that was there is free now
    EXPECT_EQ(second.bytes(), 0U);
    found = status_of(second);
  }
  EXPECT_TRUE(scratch_.empty());
}

TEST_P(swap_files, two_in_one_directory_never_meet) {
  swap_file a = make(scratch_.path());
  swap_file b = make(scratch_.path());
  a.reserve(4096);
  b.reserve(4096);
  const aligned_memory ours(4096), found(4096);
  fill(ours.get(), 4096, 1, 1);
  ASSERT_EQ(pwrite(a.descriptor(), ours.get(), 4096, 0), 4096);
  ASSERT_EQ(pread(b.descriptor(), found.get(), 4096, 0), 4096);
  for (int i = 0; i < 4096; ++i) ASSERT_EQ(found.get()[i], 0);
}

TEST_P(swap_files, are_direct_where_that_works_and_say_where_not) {
  for (const std::string& directory : {scratch_.path(), std::string("/dev/shm")}) {
    const swap_file file = make(directory);
    const bool flag = (fcntl(file.descriptor(), F_GETFL) & O_DIRECT) != 0;
    EXPECT_EQ(file.direct(), flag);
    EXPECT_EQ(file.note().empty(), file.direct());
    EXPECT_GE(file.alignment(), 4096U);
    EXPECT_EQ(file.alignment() & (file.alignment() - 1), 0U);
  }
  const swap_file in_memory = make("/dev/shm");
  EXPECT_FALSE(in_memory.direct());
  EXPECT_NE(in_memory.note().find("/dev/shm"), std::string::npos) << in_memory.note();
}

TEST_P(swap_files, that_are_direct_work_at_their_alignment) {
  swap_file file = make(scratch_.path());
  file.reserve(4 * file.alignment());
  const std::size_t unit = file.alignment();
  const aligned_memory out(unit, unit), in(unit, unit);
  fill(out.get(), unit, 5, 5);
  ASSERT_EQ(pwrite(file.descriptor(), out.get(), unit, static_cast<off_t>(unit)),
            static_cast<ssize_t>(unit));
  ASSERT_EQ(pread(file.descriptor(), in.get(), unit, static_cast<off_t>(unit)),
            static_cast<ssize_t>(unit));
  EXPECT_EQ(first_difference(in.get(), unit, 5, 5), -1);
}

INSTANTIATE_TEST_SUITE_P(all, swap_files,
                         ::testing::Values(swap_naming::automatic, swap_naming::unlinked),
                         [](const auto& test) {
                           return test.param == swap_naming::automatic ? "never_named" : "unlinked";
                         });

TEST(swap_file, buffered_when_asked) {
  const scratch_directory scratch;
  const swap_file file(scratch.path(), {swap_naming::automatic, swap_caching::buffered});
  EXPECT_FALSE(file.direct());
  EXPECT_TRUE(file.note().empty());
  EXPECT_EQ(fcntl(file.descriptor(), F_GETFL) & O_DIRECT, 0);
}

// ---- directories that are refused --------------------------------------------------------------

void expect_refused(const std::string& directory, const std::string& word) {
  try {
    const swap_file file(directory);
    ADD_FAILURE() << directory << " was accepted";
  } catch (const invalid_argument& refused) {
    const std::string text = refused.what();
    EXPECT_NE(text.find("'" + directory + "'"), std::string::npos) << text;
    EXPECT_NE(text.find(word), std::string::npos) << text;
  }
}

TEST(swap_directory, missing_or_no_directory) {
  const scratch_directory scratch;
  expect_refused("", "no name");
  expect_refused(scratch / "nowhere", "No such file");
  const std::string file = scratch / "file";
  close(open(file.c_str(), O_CREAT | O_WRONLY, 0600));
  expect_refused(file, "no directory");
  expect_refused(file + "/below", "Not a directory");
}

TEST(swap_directory, a_symbolic_link) {
  const scratch_directory scratch;
  std::filesystem::create_directory(scratch / "there");
  std::filesystem::create_directory(scratch / "there/below");
  std::filesystem::create_symlink("there", scratch / "link");
  for (const char* const spelled : {"link", "link/", "link//", "link/.", "link/./"}) {
    expect_refused(scratch / spelled, "symbolic link");
  }
  const swap_file through(scratch / "link/below");  // a link above is the administrator's business
  EXPECT_GE(through.descriptor(), 0);
}

TEST(swap_directory, writable_by_others) {
  const scratch_directory scratch;
  const std::string place = scratch / "place";
  std::filesystem::create_directory(place);
  for (const mode_t mode : {0777, 0770, 0702, 0720}) {
    ASSERT_EQ(chmod(place.c_str(), mode), 0);
    expect_refused(place, "writable by others");
  }
  for (const mode_t mode : {01777, 0700, 0755, 0750}) {
    ASSERT_EQ(chmod(place.c_str(), mode), 0);
    EXPECT_NO_THROW(swap_file{place}) << std::oct << mode;
  }
  EXPECT_NO_THROW(swap_file{"/tmp"});
}

TEST(swap_directory, of_another_user) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  const scratch_directory scratch;
  const std::string place = scratch / "place";
  std::filesystem::create_directory(place);
  ASSERT_EQ(chown(place.c_str(), 12345, 12345), 0);
  expect_refused(place, "belongs to user 12345");
  ASSERT_EQ(chmod(place.c_str(), 01777), 0);
  expect_refused(place, "belongs to user 12345");
}

TEST(swap_directory, not_writable) {
  const scratch_directory scratch;
  const std::string place = scratch / "place";
  std::filesystem::create_directory(place);
  struct statvfs system {};
  if (statvfs("/proc", &system) == 0) expect_refused("/proc", "");
  if (geteuid() == 0) GTEST_SKIP() << "root writes where no one may";
  ASSERT_EQ(chmod(place.c_str(), 0500), 0);
  expect_refused(place, "cannot be written to");
}

// ---- space -------------------------------------------------------------------------------------

TEST(swap_space, more_than_there_is_is_refused_with_the_numbers) {
  const scratch_directory scratch;
  swap_file file(scratch.path());
  const std::uint64_t far_too_much = std::uint64_t{1} << 60;
  try {
    file.reserve(far_too_much);
    ADD_FAILURE() << "an exbibyte was found";
  } catch (const out_of_memory& full) {
    struct statvfs system {};
    ASSERT_EQ(fstatvfs(file.descriptor(), &system), 0);
    EXPECT_EQ(full.kind(), error_class::resource);
    EXPECT_EQ(full.requested, far_too_much);
    EXPECT_GT(full.available, 0U);
    EXPECT_LE(full.available, static_cast<std::uint64_t>(system.f_blocks) * system.f_frsize);
    EXPECT_NE(std::string(full.what()).find(scratch.path()), std::string::npos);
  }
  EXPECT_EQ(status_of(file).st_blocks, 0);
  EXPECT_NO_THROW(file.reserve(8192));  // what fits still does
}

TEST(swap_space, is_reserved_once_and_not_for_nothing) {
  const scratch_directory scratch;
  swap_file file(scratch.path());
  EXPECT_THROW(file.reserve(0), invalid_argument);
  file.reserve(4096);
  EXPECT_THROW(file.reserve(4096), invalid_argument);
}

TEST(swap_space, the_limit_on_file_sizes_is_an_error_and_no_signal) {
  const scratch_directory scratch;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 1 << 20;
  swap_file file(scratch.path());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  try {
    file.reserve(2 << 20);
    ADD_FAILURE() << "reserved beyond the limit";
  } catch (const out_of_memory& full) {
    EXPECT_EQ(full.requested, 2U << 20);
    EXPECT_EQ(full.available, 1U << 20);
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
}

}  // namespace
}  // namespace zero::testing
