// Text, token files and batches.

#include "trainer/text.hpp"

#include "trainer/batches.hpp"
#include "trainer/scratch_folder.hpp"
#include "trainer/token_file.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace zero::trainer::testing {
namespace {

std::string bytes_in(const corpus& read) {
  std::string text;
  for (std::uint64_t i = 0; i < read.token_count(); ++i) {
    text += static_cast<char>(read.token(i));
  }
  return text;
}

// The message of the exception of type Error that `call` throws.
template <typename Error, typename Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(text, files_and_folders_follow_each_other) {
  const scratch_folder scratch;
  scratch.write("b", "second");
  scratch.write("a", "first ");
  scratch.write("c", "");
  std::filesystem::create_directory(scratch.path("sub"));
  std::filesystem::create_symlink("b", scratch.path("d"));
  const corpus all = read_text({scratch.path(), scratch.path("a")});
  EXPECT_EQ(bytes_in(all), "first secondfirst ");
  EXPECT_EQ(all.byte_count(), 18u);
  EXPECT_EQ(all.files(), (std::vector<std::string>{scratch.path("a"), scratch.path("b"),
                                                   scratch.path("c"), scratch.path("a")}));
  // A link that is named is followed.
  EXPECT_EQ(bytes_in(read_text({scratch.path("d")})), "second");
}

TEST(text, the_digest_is_that_of_the_bytes) {
  const scratch_folder scratch;
  const corpus read = read_text({scratch.write("a", "ab"), scratch.write("b", "c")});
  EXPECT_EQ(read.digest(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(text, bytes_above_127_are_tokens_above_127) {
  const scratch_folder scratch;
  const corpus read = read_text({scratch.write("a", "\xff\x80\x7f")});
  EXPECT_EQ(read.token(0), 255);
  EXPECT_EQ(read.token(1), 128);
  EXPECT_EQ(read.token(2), 127);
}

TEST(text, what_cannot_be_read_is_named) {
  const scratch_folder scratch;
  const std::string missing = scratch.path("missing"), empty = scratch.write("empty", "");
  const std::string pipe = scratch.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const scratch_folder hollow;
  const auto reading = [](const std::string& path) {
    return [path] { static_cast<void>(read_text({path})); };
  };
  EXPECT_NE(message_of<io_error>(reading(missing)).find(missing), std::string::npos);
  EXPECT_NE(message_of<invalid_argument>(reading(empty)).find(empty), std::string::npos);
  EXPECT_NE(message_of<invalid_argument>(reading(pipe)).find(pipe), std::string::npos);
  EXPECT_NE(message_of<invalid_argument>(reading(hollow.path())).find(hollow.path()),
            std::string::npos);
  EXPECT_THROW(static_cast<void>(read_text({})), invalid_argument);
}

TEST(text, unreadable_files_are_named) {
  const scratch_folder scratch;
  // Links in a circle are unreadable even for root, whom modes do not stop.
  const std::string circle = scratch.path("circle"), locked = scratch.write("locked", "text");
  std::filesystem::create_symlink("circle", circle);
  std::vector<std::string> unreadable = {circle, locked + "/under"};
  ASSERT_EQ(::chmod(locked.c_str(), 0), 0);
  if (::geteuid() != 0) unreadable.push_back(locked);
  for (const std::string& path : unreadable) {
    EXPECT_NE(message_of<io_error>([&] { static_cast<void>(read_text({path})); }).find(path),
              std::string::npos);
  }
}

TEST(corpus, checks_length_and_vocabulary) {
  const corpus read({10, 20, 200}, 1, "text 'x'");
  EXPECT_NO_THROW(read.check(256, 2));
  EXPECT_NO_THROW(read.check(201, 2));
  EXPECT_NE(message_of<invalid_argument>([&] { read.check(256, 3); }).find("text 'x'"),
            std::string::npos);
  const std::string outside = message_of<invalid_argument>([&] { read.check(200, 2); });
  EXPECT_NE(outside.find("token 200 at place 2"), std::string::npos) << outside;
  const corpus wide({0, 0, 0, 1}, 2, "x");
  EXPECT_EQ(wide.token_count(), 2u);
  EXPECT_EQ(wide.token(1), 256);
  EXPECT_NO_THROW(wide.check(257, 1));
  EXPECT_THROW(wide.check(256, 1), invalid_argument);
}

// ---- token files -------------------------------------------------------------------------------

std::string token_file(std::int32_t magic, std::int32_t version, std::int32_t count,
                       const std::vector<std::uint16_t>& tokens) {
  std::vector<std::int32_t> header(256, 0);
  header[0] = magic;
  header[1] = version;
  header[2] = count;
  return {std::string(reinterpret_cast<const char*>(header.data()), 1024) +
          std::string(reinterpret_cast<const char*>(tokens.data()), 2 * tokens.size())};
}

TEST(token_file, gives_its_tokens) {
  const scratch_folder scratch;
  const std::vector<std::uint16_t> tokens = {0, 1, 50256, 65535, 258};
  const corpus read = read_token_file(scratch.write("t", token_file(20240520, 1, 5, tokens)));
  ASSERT_EQ(read.token_count(), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(read.token(i), tokens[i]);
  EXPECT_EQ(read.byte_count(), 10u);
}

TEST(token_file, refuses_foreign_and_damaged_files_with_the_offset) {
  const scratch_folder scratch;
  const auto offset_of = [&](const std::string& bytes) -> std::int64_t {
    try {
      static_cast<void>(read_token_file(scratch.write("t", bytes)));
    } catch (const corrupt_data& error) {
      EXPECT_EQ(error.kind(), error_class::corrupt);
      return static_cast<std::int64_t>(error.offset);
    }
    return -1;
  };
  const std::string good = token_file(20240520, 1, 3, {1, 2, 3});
  EXPECT_EQ(offset_of(good), -1);
  EXPECT_EQ(offset_of(token_file(20240326, 1, 3, {1, 2, 3})), 0);
  EXPECT_EQ(offset_of(token_file(20240520, 2, 3, {1, 2, 3})), 4);
  for (const std::int32_t count : {2, 4, -1, 0, 2147483647}) {
    EXPECT_EQ(offset_of(token_file(20240520, 1, count, {1, 2, 3})), 8) << count;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(offset_of(good.substr(0, size)), size < 1024 ? std::int64_t(size) : 8) << size;
  }
  EXPECT_THROW(static_cast<void>(read_token_file(scratch.path("none"))), io_error);
}

// ---- batches -----------------------------------------------------------------------------------

TEST(batches, a_sequence_depends_on_seed_step_and_number_alone) {
  std::vector<std::uint8_t> bytes(1000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 % 251);
  const corpus text(bytes, 1, "text");
  std::vector<std::int32_t> inputs(20), targets(20), again(20), others(20);
  read_sequence(text, 1, 2, 3, inputs, targets);
  read_sequence(text, 1, 2, 3, again, others);
  EXPECT_EQ(inputs, again);
  EXPECT_TRUE(std::equal(inputs.begin() + 1, inputs.end(), targets.begin()));
  const std::uint64_t start = sequence_start(1, 2, 3, 1000, 20);
  EXPECT_EQ(targets[19], text.token(start + 20));
  for (const auto& [seed, step, sequence] :
       {std::tuple{2, 2, 3}, std::tuple{1, 3, 3}, std::tuple{1, 2, 4}}) {
    EXPECT_NE(start, sequence_start(std::uint64_t(seed), std::uint64_t(step),
                                    std::uint64_t(sequence), 1000, 20));
  }
}

TEST(batches, starts_are_uniform_over_every_place) {
  std::map<std::uint64_t, int> counts;
  constexpr int draws = 20000;
  for (std::uint64_t i = 0; i < draws; ++i) ++counts[sequence_start(9, i / 8, i % 8, 30, 20)];
  EXPECT_EQ(counts.size(), 10u);
  EXPECT_EQ(counts.rbegin()->first, 9u);
  double chi_squared = 0;
  for (const auto& [start, count] : counts) {
    chi_squared += std::pow(count - draws / 10.0, 2) / (draws / 10.0);
  }
  EXPECT_LT(chi_squared, 27.9);  // 1 in 1000 with 9 degrees of freedom
}

TEST(batches, the_shortest_text_has_one_place) {
  const corpus text({1, 2, 3}, 1, "text");
  std::vector<std::int32_t> inputs(2), targets(2), longer(3), one(1);
  read_sequence(text, 1, 1, 1, inputs, targets);
  EXPECT_EQ(inputs, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(targets, (std::vector<std::int32_t>{2, 3}));
  EXPECT_THROW(read_sequence(text, 1, 1, 1, longer, longer), invalid_argument);
  EXPECT_THROW(read_sequence(text, 1, 1, 1, inputs, one), invalid_argument);
}

}  // namespace
}  // namespace zero::trainer::testing
