// The system's files: names that leave the directory, links, pipes, modes, locks.

#include "checkpoint/scripted_files.hpp"
#include "file.hpp"
#include "offload/child.hpp"
#include "trainer/scratch_folder.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/file_calls.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace zero::checkpoint {
namespace {

using trainer::testing::scratch_folder;

struct umask_for_now {
  explicit umask_for_now(mode_t mask) : before(umask(mask)) {}
  umask_for_now(const umask_for_now&) = delete;
  umask_for_now& operator=(const umask_for_now&) = delete;
  ~umask_for_now() { umask(before); }
  mode_t before;
};

unsigned mode_of(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(lstat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777U;
}

std::shared_ptr<file_calls> files_in(const scratch_folder& scratch) {
  return open_directory(scratch.path(), if_missing::refuse);
}

void close_opened(file_calls& files, long opened) {
  if (opened >= 0) {
    EXPECT_EQ(files.close(opened), 0);
  }
}

// Every call that takes a name, on `name`; the first result that is not `expected`, else that.
long everywhere(file_calls& files, const std::string& name, long expected) {
  std::vector<long> results;
  for (const opening how :
       {opening::read, opening::create, opening::create_direct, opening::lock}) {
    results.push_back(files.open(name, how));
    close_opened(files, results.back());
  }
  std::vector<std::string> names;
  results.push_back(files.make_directory(name));
  results.push_back(files.rename(name, "free"));
  results.push_back(files.rename("there", name));
  results.push_back(files.remove_file(name));
  results.push_back(files.remove_directory(name));
  results.push_back(name.empty() ? expected : files.list(name, names));
  results.push_back(name.empty() ? expected : files.sync_directory(name));
  for (const long result : results) {
    if (result != expected) return result;
  }
  return expected;
}

TEST(posix_files, write_read_rename_list_and_remove) {
  const scratch_folder scratch;
  const auto files = files_in(scratch);
  make_directory(*files, "folder");
  write_whole(*files, "folder/a", "content");
  EXPECT_EQ(scratch.read("folder/a"), "content");
  EXPECT_EQ(files->rename("folder/a", "b"), 0);
  EXPECT_EQ(read_whole(*files, "b", 100), "content");
  write_whole(*files, "folder/c", "other");
  EXPECT_EQ(files->rename("b", "folder/c"), -EEXIST);
  EXPECT_EQ(scratch.read("folder/c"), "other");
  EXPECT_EQ(list_directory(*files, ""), (std::vector<std::string>{"b", "folder"}));
  EXPECT_EQ(list_directory(*files, "folder"), std::vector<std::string>{"c"});
  sync_directory(*files, "folder");
  sync_directory(*files, "");
  EXPECT_EQ(files->remove_directory("folder"), -ENOTEMPTY);
  EXPECT_EQ(files->remove_file("folder"), -EISDIR);
  remove_file(*files, "folder/c");
  remove_directory(*files, "folder");
  EXPECT_EQ(scratch.names(), std::vector<std::string>{"b"});
  EXPECT_GT(free_bytes(*files), 0u);
  EXPECT_EQ(files->path_of("a/b"), scratch.path() + "/a/b");
  EXPECT_EQ(files->path_of(""), scratch.path());
}

TEST(posix_files, sizes_and_room) {
  const scratch_folder scratch;
  const auto files = files_in(scratch);
  file made(*files, "f", opening::create);
  if (made.allocate(10000)) {
    EXPECT_EQ(made.size(), 10000u);
  }
  EXPECT_TRUE(made.allocate(0));
  made.resize(3);
  EXPECT_EQ(made.size(), 3u);
  made.sync();
  made.close();
  EXPECT_EQ(scratch.read("f"), std::string(3, '\0'));
  EXPECT_EQ(files->open("f", opening::create), -EEXIST);
  EXPECT_EQ(files->open("none", opening::read), -ENOENT);
  EXPECT_EQ(files->open("no/file", opening::create), -ENOENT);
}

TEST(posix_files, direct_files_or_no_name_at_all) {
  const scratch_folder scratch;
  const auto files = files_in(scratch);
  const long opened = files->open("f", opening::create_direct);
  if (opened < 0) {
    EXPECT_EQ(opened, -EINVAL);
    EXPECT_TRUE(scratch.names().empty());
    return;
  }
  EXPECT_EQ(mode_of(scratch.path("f")), 0600u);
  alignas(block_bytes) static char blocks[2 * block_bytes];
  std::fill(std::begin(blocks), std::end(blocks), 'x');
  EXPECT_EQ(files->write(opened, blocks, sizeof blocks, block_bytes), long{sizeof blocks});
  EXPECT_EQ(files->close(opened), 0);
  EXPECT_EQ(scratch.read("f"), std::string(block_bytes, '\0') + std::string(2 * block_bytes, 'x'));
}

TEST(posix_files, names_that_are_not_ours_are_refused_by_every_call) {
  const scratch_folder scratch;
  scratch.write("there", "there");
  std::filesystem::create_directory(scratch.path("inner"));
  const auto files = open_directory(scratch.path("inner"), if_missing::refuse);
  write_whole(*files, "there", "inside");
  const std::string outside = scratch.path("there");
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../there"),
        std::string("a/../../there"), std::string("a/.."), std::string("./there"), outside,
        std::string("/"), std::string("a/"), std::string("/a"), std::string("a//b"),
        std::string("a/b/c"), std::string("a\0b", 3), std::string("a/b\0", 4)}) {
    EXPECT_EQ(everywhere(*files, name, -EINVAL), -EINVAL) << '"' << name << '"';
  }
  EXPECT_EQ(scratch.read("there"), "there");
  EXPECT_EQ(scratch.names().size(), 2u);
  const std::string longest(255, 'n');
  write_whole(*files, longest, "x");
  EXPECT_EQ(files->open(longest + "n", opening::create), -ENAMETOOLONG);
}

TEST(posix_files, links_are_not_followed) {
  const scratch_folder scratch;
  std::filesystem::create_directory(scratch.path("inner"));
  std::filesystem::create_directory(scratch.path("victim"));
  scratch.write("victim/f", "precious");
  const auto files = open_directory(scratch.path("inner"), if_missing::refuse);
  std::filesystem::create_symlink(scratch.path("victim/f"), scratch.path("inner/file"));
  std::filesystem::create_symlink("../victim", scratch.path("inner/folder"));
  std::filesystem::create_symlink("nowhere", scratch.path("inner/dangling"));
  std::vector<std::string> names;
  EXPECT_EQ(files->open("file", opening::read), -ELOOP);
  EXPECT_EQ(files->open("file", opening::lock), -ELOOP);
  EXPECT_EQ(files->open("file", opening::create), -EEXIST);
  EXPECT_EQ(files->open("dangling", opening::create), -EEXIST);
  EXPECT_EQ(files->open("dangling", opening::lock), -ELOOP);
  EXPECT_EQ(files->make_directory("dangling"), -EEXIST);
  EXPECT_EQ(files->list("folder", names), -ENOTDIR);
  EXPECT_EQ(files->sync_directory("folder"), -ENOTDIR);
  EXPECT_EQ(everywhere(*files, "folder/f", -ENOTDIR), -ENOTDIR);
  // Links themselves may be renamed and removed: what they lead to stays.
  EXPECT_EQ(files->rename("file", "other"), 0);
  EXPECT_EQ(files->remove_file("other"), 0);
  EXPECT_EQ(files->remove_file("folder"), 0);
  EXPECT_EQ(scratch.read("victim/f"), "precious");
}

TEST(posix_files, only_regular_files_are_opened) {
  const scratch_folder scratch;
  const auto files = files_in(scratch);
  ASSERT_EQ(mkfifo(scratch.path("pipe").c_str(), 0600), 0);
  make_directory(*files, "folder");
  EXPECT_EQ(files->open("pipe", opening::read), -EINVAL);  // and does not wait for a writer
  EXPECT_EQ(files->open("pipe", opening::lock), -EINVAL);
  EXPECT_EQ(files->open("folder", opening::read), -EISDIR);
  EXPECT_EQ(files->open("folder", opening::lock), -EISDIR);
  if (geteuid() == 0 && mknod(scratch.path("zeros").c_str(), S_IFCHR | 0600, makedev(1, 5)) == 0) {
    EXPECT_EQ(files->open("zeros", opening::read), -EINVAL);
  }
}

// Somebody's file must not be written to because it got a second name here.
TEST(posix_files, a_lock_has_one_name) {
  const scratch_folder scratch;
  const auto files = files_in(scratch);
  scratch.write("victim", "precious");
  std::filesystem::create_hard_link(scratch.path("victim"), scratch.path(".lock"));
  EXPECT_EQ(files->open(".lock", opening::lock), -EMLINK);
  EXPECT_EQ(scratch.read("victim"), "precious");
}

TEST(posix_files, modes_do_not_depend_on_the_umask) {
  for (const mode_t mask : {0, 022, 077, 0277, 0777}) {
    const scratch_folder scratch;
    const umask_for_now set(mask);
    const auto files = open_directory(scratch.path("one/two"), if_missing::create);
    EXPECT_EQ(mode_of(scratch.path("one")), 0700u);
    EXPECT_EQ(mode_of(scratch.path("one/two")), 0700u);
    make_directory(*files, "folder");
    write_whole(*files, "folder/f", "x");
    const file lock(*files, ".lock", opening::lock);
    EXPECT_EQ(mode_of(scratch.path("one/two/folder")), 0700u) << std::oct << mask;
    EXPECT_EQ(mode_of(scratch.path("one/two/folder/f")), 0600u) << std::oct << mask;
    EXPECT_EQ(mode_of(scratch.path("one/two/.lock")), 0600u) << std::oct << mask;
  }
}

TEST(posix_files, a_lock_excludes_other_processes_and_ends_with_its_holder) {
  const scratch_folder scratch;
  const auto files = files_in(scratch);
  const auto try_it = [&] {
    return zero::testing::in_child([&] {
      const auto own = files_in(scratch);
      return std::string(file(*own, ".lock", opening::lock).try_lock() ? "mine" : "taken");
    });
  };
  {
    file lock(*files, ".lock", opening::lock);
    ASSERT_TRUE(lock.try_lock());
    EXPECT_EQ(try_it(), "taken");
    // Not a second time in this process either, and closing that one does not give it up.
    EXPECT_FALSE(file(*files, ".lock", opening::lock).try_lock());
    EXPECT_EQ(try_it(), "taken");
  }
  EXPECT_EQ(try_it(), "mine");
  zero::testing::endless_child holder([&](const std::function<void()>& begun) {
    const auto own = files_in(scratch);
    file held(*own, ".lock", opening::lock);
    if (held.try_lock()) begun();
    for (;;) pause();
  });
  ASSERT_TRUE(holder.begun());
  EXPECT_EQ(try_it(), "taken");
  ASSERT_TRUE(holder.end());
  EXPECT_EQ(try_it(), "mine");
}

// The directory is held, not its name: whoever exchanges it does not lead us elsewhere.
TEST(posix_files, what_was_opened_is_what_is_used) {
  const scratch_folder scratch;
  const auto files = open_directory(scratch.path("dir"), if_missing::create);
  std::filesystem::rename(scratch.path("dir"), scratch.path("moved"));
  std::filesystem::create_directory(scratch.path("dir"));
  write_whole(*files, "f", "x");
  EXPECT_EQ(scratch.read("moved/f"), "x");
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path("dir")));
}

TEST(open_directory, refuses_what_is_no_place_for_checkpoints) {
  const scratch_folder scratch;
  scratch.write("file", "x");
  EXPECT_THROW(open_directory("", if_missing::create), invalid_argument);
  EXPECT_THROW(open_directory(scratch.path("none"), if_missing::refuse), io_error);
  EXPECT_THROW(open_directory(scratch.path("file"), if_missing::refuse), invalid_argument);
  EXPECT_THROW(open_directory(scratch.path("file"), if_missing::create), invalid_argument);
  EXPECT_THROW(open_directory(scratch.path("file/in"), if_missing::create), io_error);
  std::filesystem::create_directory(scratch.path("everybody"));
  ASSERT_EQ(chmod(scratch.path("everybody").c_str(), 01777), 0);
  EXPECT_THROW(open_directory(scratch.path("everybody"), if_missing::create), invalid_argument);
}

TEST(open_directory, takes_any_spelling_of_a_path) {
  const scratch_folder scratch;
  for (const char* name : {"a", "b/", "c//d", "e/f///", "g/./h", "i/../j"}) {
    write_whole(*open_directory(scratch.path(name), if_missing::create), "f", name);
    EXPECT_EQ(scratch.read(std::string(name) + "/f"), name);
  }
  std::filesystem::create_directory_symlink("a", scratch.path("link"));
  const auto files = open_directory(scratch.path("link"), if_missing::create);
  EXPECT_EQ(read_whole(*files, "f", 10), "a");
}

}  // namespace
}  // namespace zero::checkpoint
