// The loops over file_calls: what goes on, what is an error, and what is never done twice.

#include "file.hpp"

#include "checkpoint/scripted_files.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <numeric>

namespace zero::checkpoint {
namespace {

using testing::scripted_files;

io_error error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const io_error& thrown) {
    return thrown;
  }
  ADD_FAILURE() << "no io_error";
  return {"nothing", "", 0};
}

const std::string text = "0123456789";

TEST(file, goes_on_after_parts_and_interruptions) {
  scripted_files files;
  files.script["open"] = {-EINTR, -EAGAIN};
  files.script["write"] = {3, -EINTR, 0, 2, -EAGAIN, 1};
  file made(files, "f", opening::create);
  made.write(text.data(), text.size(), 5);
  EXPECT_EQ(files.content, std::string(5, '\0') + text);
  EXPECT_EQ(files.calls["write"], 7);
  files.script["read"] = {-EAGAIN, 0, 4, -EINTR, 1};
  std::string back(text.size(), ' ');
  made.read(back.data(), back.size(), 5);
  EXPECT_EQ(back, text);
  EXPECT_EQ(files.calls["read"], 6);
}

TEST(file, nothing_twice_in_a_row_is_an_error) {
  scripted_files files;
  file made(files, "f", opening::create);
  files.script["write"] = {4, 0, 0};
  const io_error thrown = error_of([&] { made.write(text.data(), text.size(), 100); });
  EXPECT_EQ(thrown.error_number, EIO);
  EXPECT_EQ(thrown.offset, 104u);
  EXPECT_EQ(thrown.path, "/d/f");
  EXPECT_EQ(files.calls["write"], 3);
  files.content = text;
  std::string back(11, ' ');
  try {
    made.read(back.data(), back.size(), 0);
    ADD_FAILURE() << "read past the end";
  } catch (const corrupt_data& short_file) {
    EXPECT_EQ(short_file.offset, 10u);
    EXPECT_EQ(short_file.path, "/d/f");
  }
}

TEST(file, interruptions_that_do_not_end_are_an_error) {
  for (const int number : {EINTR, EAGAIN}) {
    scripted_files files;
    file made(files, "f", opening::create);
    files.script["write"].assign(most_interruptions - 1, -number);
    made.write(text.data(), text.size(), 0);
    files.script["write"].assign(most_interruptions, -number);
    EXPECT_EQ(error_of([&] { made.write(text.data(), text.size(), 0); }).error_number, number);
    EXPECT_EQ(files.calls["write"], 2 * most_interruptions);
  }
}

TEST(file, every_error_has_its_number_path_and_offset) {
  scripted_files files;
  file made(files, "f", opening::create);
  std::string back(4, ' ');
  files.script["read"] = {-EIO};
  io_error thrown = error_of([&] { made.read(back.data(), back.size(), 6); });
  EXPECT_EQ(thrown.error_number, EIO);
  EXPECT_EQ(thrown.offset, 6u);
  files.script["write"] = {2, -ENOSPC};
  thrown = error_of([&] { made.write("abcd", 4, 6); });
  EXPECT_EQ(thrown.error_number, ENOSPC);
  EXPECT_EQ(thrown.offset, 8u);
  EXPECT_EQ(thrown.kind(), error_class::resource);
  const struct {
    const char* call;
    std::function<void()> body;
  } cases[] = {{"open", [&] { file(files, "f", opening::read); }},
               {"resize", [&] { made.resize(3); }},
               {"facts", [&] { static_cast<void>(made.size()); }},
               {"lock", [&] { static_cast<void>(made.try_lock()); }},
               {"allocate", [&] { made.allocate(3); }},
               {"make_directory", [&] { make_directory(files, "f"); }},
               {"list", [&] { static_cast<void>(list_directory(files, "f")); }},
               {"sync_directory", [&] { sync_directory(files, "f"); }},
               {"rename", [&] { rename(files, "e", "f"); }},
               {"remove_file", [&] { remove_file(files, "f"); }},
               {"remove_directory", [&] { remove_directory(files, "f"); }},
               {"free_bytes", [&] { static_cast<void>(free_bytes(files)); }}};
  for (const auto& one : cases) {
    files.script[one.call] = {-EDQUOT};
    thrown = error_of(one.body);
    EXPECT_EQ(thrown.error_number, EDQUOT) << one.call;
    EXPECT_EQ(thrown.path, one.call == std::string("free_bytes") ? "/d/" : "/d/f") << one.call;
  }
}

// After fsync, close and changes of names nobody knows whether the first time did the work.
TEST(file, some_calls_are_never_repeated) {
  for (const int number : {EINTR, EAGAIN, EIO}) {
    scripted_files files;
    const struct {
      const char* call;
      std::function<void()> body;
    } cases[] = {{"sync", [&] { file(files, "f", opening::create).sync(); }},
                 {"close", [&] { file(files, "f", opening::create).close(); }},
                 {"sync_directory", [&] { sync_directory(files, "f"); }},
                 {"make_directory", [&] { make_directory(files, "f"); }},
                 {"rename", [&] { rename(files, "e", "f"); }},
                 {"remove_file", [&] { remove_file(files, "f"); }},
                 {"remove_directory", [&] { remove_directory(files, "f"); }}};
    for (const auto& one : cases) {
      files.calls.clear();
      files.script[one.call] = {-number};
      EXPECT_EQ(error_of(one.body).error_number, number) << one.call;
      EXPECT_EQ(files.calls[one.call], 1) << one.call;
    }
  }
}

TEST(file, a_file_whose_fsync_failed_is_condemned) {
  scripted_files files;
  file made(files, "f", opening::create);
  made.write("a", 1, 0);
  files.script["sync"] = {-EIO};
  EXPECT_EQ(error_of([&] { made.sync(); }).error_number, EIO);
  EXPECT_EQ(error_of([&] { made.sync(); }).error_number, EIO);
  EXPECT_EQ(error_of([&] { made.write("a", 1, 0); }).error_number, EIO);
  EXPECT_EQ(error_of([&] { made.resize(0); }).error_number, EIO);
  EXPECT_EQ(files.calls["sync"], 1);
  EXPECT_EQ(files.calls["write"], 1);
}

TEST(file, is_closed_once) {
  scripted_files files;
  {
    file made(files, "f", opening::create);
    const file moved(std::move(made));
  }
  EXPECT_EQ(files.calls["close"], 1);
  file made(files, "f", opening::create);
  files.script["close"] = {-EIO};
  EXPECT_EQ(error_of([&] { made.close(); }).error_number, EIO);
  EXPECT_EQ(error_of([&] { made.close(); }).error_number, EBADF);
  EXPECT_EQ(error_of([&] { made.sync(); }).error_number, EBADF);
  EXPECT_EQ(files.calls["close"], 2);
}

TEST(file, direct_writes_go_on_at_a_block) {
  scripted_files files;
  file made(files, "f", opening::create_direct);
  std::string blocks(4 * block_bytes, 'x');
  std::iota(blocks.begin(), blocks.end(), 'a');
  files.script["write"] = {2 * block_bytes + 7, 100, block_bytes};
  made.write(blocks.data(), blocks.size(), block_bytes);
  EXPECT_EQ(files.content, std::string(block_bytes, '\0') + blocks);
  for (const auto& [offset, count] : files.writes) {
    EXPECT_EQ(offset % block_bytes, 0u);
    EXPECT_EQ(count % block_bytes, 0u);
  }
  files.script["write"] = {100, 4095};  // nothing that counts, twice
  EXPECT_EQ(error_of([&] { made.write(blocks.data(), block_bytes, 0); }).error_number, EIO);
}

TEST(file, more_than_was_asked_for_is_an_error) {
  scripted_files files;
  file made(files, "f", opening::create);
  files.script["write"] = {5};
  EXPECT_EQ(error_of([&] { made.write("abcd", 4, 0); }).error_number, EIO);
  std::string back(4, ' ');
  files.script["read"] = {5};
  EXPECT_EQ(error_of([&] { made.read(back.data(), 4, 0); }).error_number, EIO);
}

TEST(file, room_and_locks_may_not_be_had) {
  scripted_files files;
  file made(files, "f", opening::lock);
  EXPECT_TRUE(made.allocate(5));
  files.script["allocate"] = {-EINTR, -EOPNOTSUPP};
  EXPECT_FALSE(made.allocate(5));
  EXPECT_TRUE(made.try_lock());
  files.script["lock"] = {-EINTR, -EAGAIN};
  EXPECT_FALSE(made.try_lock());
  EXPECT_EQ(files.calls["lock"], 3);
}

TEST(file, whole_files_have_a_limit) {
  scripted_files files;
  files.content = text;
  EXPECT_EQ(read_whole(files, "f", 10), text);
  EXPECT_THROW(static_cast<void>(read_whole(files, "f", 9)), corrupt_data);
  EXPECT_EQ(files.calls["read"], 1);
  files.regular = false;
  EXPECT_THROW(static_cast<void>(read_whole(files, "f", 10)), corrupt_data);
  EXPECT_EQ(files.calls["open"], files.calls["close"]);
}

TEST(file, whole_files_are_synced_and_closed) {
  scripted_files files;
  write_whole(files, "f", text);
  EXPECT_EQ(files.content, text);
  EXPECT_EQ(files.calls["sync"], 1);
  EXPECT_EQ(files.calls["close"], 1);
  for (const char* call : {"open", "write", "sync", "close"}) {
    files.script[call] = {-EIO};
    EXPECT_THROW(write_whole(files, "f", text), io_error) << call;
  }
}

TEST(file, lists_are_sorted_and_begun_anew) {
  scripted_files files;
  files.script["list"] = {-EINTR};
  EXPECT_EQ(list_directory(files, ""), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(free_bytes(files), 77u);
}

}  // namespace
}  // namespace zero::checkpoint
