#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

TEST(error, kinds_are_exit_codes) {
  EXPECT_EQ(static_cast<int>(error("x").kind()), 1);
  EXPECT_EQ(static_cast<int>(invalid_argument("x").kind()), 2);
  EXPECT_EQ(static_cast<int>(peer_lost("x", {1}).kind()), 3);
  EXPECT_EQ(static_cast<int>(desync("x", {1}).kind()), 4);
  EXPECT_EQ(static_cast<int>(corrupt_data("x", "f").kind()), 5);
  EXPECT_EQ(static_cast<int>(out_of_memory("x", 1, 0).kind()), 6);
  EXPECT_EQ(error("x", error_class::resource).kind(), error_class::resource);
}

TEST(error, every_error_is_caught_as_one) {
  EXPECT_THROW(throw desync("x", {}), error);
  EXPECT_THROW(throw io_error("open", "f", ENOENT), std::runtime_error);
}

TEST(error, carries_the_number_that_mattered) {
  const out_of_memory memory("buffers", 4096, 17);
  EXPECT_EQ(memory.requested, 4096U);
  EXPECT_EQ(memory.available, 17U);
  EXPECT_STREQ(memory.what(), "buffers: 4096 bytes asked, 17 available");

  const io_error io("read", "/a b", ENOENT, 512);
  EXPECT_EQ(io.error_number, ENOENT);
  EXPECT_EQ(io.path, "/a b");
  EXPECT_EQ(io.offset, 512U);
  EXPECT_STREQ(io.what(), "read '/a b' at byte 512: No such file or directory");
  EXPECT_STREQ(io_error("open", "f", EACCES).what(), "open 'f': Permission denied");

  const corrupt_data corrupt("bad magic", "f.bin", 8);
  EXPECT_EQ(corrupt.path, "f.bin");
  EXPECT_EQ(corrupt.offset, 8U);
  EXPECT_STREQ(corrupt.what(), "'f.bin' at byte 8: bad magic");

  EXPECT_EQ(peer_lost("gone", {2, 3}).ranks, (std::vector<int>{2, 3}));
  EXPECT_EQ(desync("order", {0}).ranks, (std::vector<int>{0}));
}

// A disk that is full is a resource, as a memory that is.
TEST(error, io_errors_tell_exhaustion_from_failure) {
  EXPECT_EQ(io_error("open", "f", ENOENT).kind(), error_class::failure);
  for (const int number : {ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM}) {
    EXPECT_EQ(io_error("open", "f", number).kind(), error_class::resource) << number;
  }
  const io_error told("read", "f", EIO, 512, error_class::resource);
  EXPECT_EQ(told.kind(), error_class::resource);
  EXPECT_STREQ(told.what(), "read 'f' at byte 512: Input/output error");
  EXPECT_EQ(io_error("read", "f", ENOSPC, 0, error_class::failure).kind(), error_class::failure);
}

TEST(error, formats_ranks) {
  EXPECT_EQ(format_ranks({}), "");
  EXPECT_EQ(format_ranks({4}), "4");
  EXPECT_EQ(format_ranks({0, 3}), "0 and 3");
  EXPECT_EQ(format_ranks({0, 3, 7}), "0, 3 and 7");
}

}  // namespace
}  // namespace zero::testing
