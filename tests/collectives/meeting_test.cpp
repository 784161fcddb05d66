// Strangers at a meeting: other versions, other users, those who are silent or talk of something
// else. And what is said when it ends.
#include "meeting/invitation.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <thread>

namespace zero::testing {
namespace {

using namespace std::chrono_literals;
using namespace collectives;

meeting place_of(int rank, int size, const std::string& name) {
  meeting where;
  where.name = "test " + std::to_string(getpid()) + " " + name;
  where.who = {rank, size};
  return where;
}

local_socket connected(const meeting& where) {
  local_socket own = local_socket::make();
  EXPECT_TRUE(own.connect(address_of(where)));
  return own;
}

std::optional<reply> answer_to(const local_socket& own) {
  reply answer;
  if (!own.readable(socket_clock::now() + 10s) || !own.receive(&answer, sizeof answer)) {
    return std::nullopt;
  }
  return answer;
}

std::string text_of(const std::optional<reply>& answer) {
  return answer ? std::string(answer->text.data()) : "no answer";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Rank 0 of two, which waits in a thread of its own.
class waiting_host {
 public:
  explicit waiting_host(const std::string& name, std::int64_t deadline = 60'000)
      : where_(place_of(0, 2, name)) {
    where_.deadline_milliseconds = deadline;
    host_.emplace(where_);
    thread_ = std::thread([this] {
      try {
        host_->wait_for_all();
      } catch (const std::exception& e) {
        error_ = e.what();
      }
    });
  }
  waiting_host(const waiting_host&) = delete;
  waiting_host& operator=(const waiting_host&) = delete;
  ~waiting_host() {
    if (thread_.joinable()) thread_.join();
  }

  [[nodiscard]] const meeting& where() const { return where_; }
  [[nodiscard]] hosting& host() { return *host_; }
  // Blocks until all have come; what it threw.
  std::string ended() {
    if (thread_.joinable()) thread_.join();
    return error_;
  }

 private:
  meeting where_;
  std::optional<hosting> host_;
  std::thread thread_;
  std::string error_;
};

greeting rank_1() {
  greeting said;
  said.rank = 1;
  said.size = 2;
  said.patience = 60'000;
  return said;
}

TEST(meeting, name_is_free_before_anybody_is_told_that_all_have_come) {
  waiting_host rank_0("free");
  std::thread rank_1([&] {
    const int handed = attend(place_of(1, 2, "free"));
    EXPECT_GE(handed, 0);
    ::close(handed);
  });
  EXPECT_EQ(rank_0.ended(), "");
  EXPECT_TRUE(local_socket::listen(address_of(rank_0.where()), 1).has_value());
  EXPECT_EQ(rank_0.host().hand_out(STDERR_FILENO), std::vector<int>{});
  rank_1.join();
}

TEST(meeting, who_goes_at_the_very_end_is_named) {
  waiting_host rank_0("end");
  {
    const local_socket own = connected(rank_0.where());
    const greeting said = rank_1();
    EXPECT_TRUE(own.send(&said, sizeof said));
    EXPECT_EQ(rank_0.ended(), "");
  }
  EXPECT_EQ(rank_0.host().hand_out(STDERR_FILENO), std::vector<int>{1});
}

TEST(meeting, is_not_held_up_by_strangers) {
  waiting_host rank_0("strangers");
  const local_socket silent = connected(rank_0.where());
  const local_socket confused = connected(rank_0.where());
  EXPECT_TRUE(confused.send("GET / HTTP/1.1", 14));
  EXPECT_FALSE(answer_to(confused).has_value());
  greeting other = rank_1();
  other.magic = 7;
  const local_socket impostor = connected(rank_0.where());
  EXPECT_TRUE(impostor.send(&other, sizeof other));
  EXPECT_FALSE(answer_to(impostor).has_value());
  std::thread rank_1([&] { ::close(attend(place_of(1, 2, "strangers"))); });
  EXPECT_EQ(rank_0.ended(), "");
  EXPECT_EQ(rank_0.host().hand_out(STDERR_FILENO), std::vector<int>{});
  rank_1.join();
}

TEST(meeting, refuses_another_version_and_says_so_at_the_end) {
  waiting_host rank_0("version", 300);
  greeting other = rank_1();
  other.version = meeting_version + 1;
  const local_socket own = connected(rank_0.where());
  EXPECT_TRUE(own.send(&other, sizeof other));
  const std::optional<reply> answer = answer_to(own);
  EXPECT_TRUE(has(text_of(answer), "with version 2 of the library's messages")) << text_of(answer);
  EXPECT_THROW(throw_refusal(*answer), desync);
  const std::string error = rank_0.ended();
  EXPECT_TRUE(has(error, "for rank 1 to come")) << error;
  EXPECT_TRUE(has(error, "refused: rank 1 of 2 (process " + std::to_string(getpid()) + ")"))
      << error;
}

TEST(meeting, ranks_that_are_none_are_refused) {
  waiting_host rank_0("none");
  for (const int rank : {-1, 0, 2, 1'000'000}) {
    greeting said = rank_1();
    said.rank = rank;
    const local_socket own = connected(rank_0.where());
    EXPECT_TRUE(own.send(&said, sizeof said));
    EXPECT_TRUE(has(text_of(answer_to(own)), "rank " + std::to_string(rank) + " of 2"));
  }
  std::thread rank_1([&] { ::close(attend(place_of(1, 2, "none"))); });
  EXPECT_EQ(rank_0.ended(), "");
  EXPECT_EQ(rank_0.host().hand_out(STDERR_FILENO), std::vector<int>{});
  rank_1.join();
}

// ---- other users ------------------------------------------------------------------------------

constexpr unsigned other_user = 12345;

TEST(meeting, of_another_user_is_not_entered) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  const meeting where = place_of(0, 2, "users");
  const std::string address = address_of(where);  // of this user
  hosting rank_0(where);
  const pid_t child = fork();
  if (child == 0) {
    if (seteuid(other_user) != 0) _exit(2);
    local_socket own = local_socket::make();
    const greeting said = rank_1();
    const bool is_there = own.connect(address) && own.send(&said, sizeof said);
    const std::string text = text_of(answer_to(own));
    _exit(is_there && has(text, "of user 0 but is of user 12345") ? 0 : 1);
  }
  std::thread rank_1([&] {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    ::close(attend(place_of(1, 2, "users")));
  });
  rank_0.wait_for_all();
  EXPECT_EQ(rank_0.hand_out(STDERR_FILENO), std::vector<int>{});
  rank_1.join();
}

TEST(meeting, whose_name_another_user_holds_is_refused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  const meeting where = place_of(1, 2, "held");
  const std::string address = address_of(where);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (seteuid(other_user) != 0) _exit(2);
    const auto door = local_socket::listen(address, 8);
    alarm(120);  // whatever becomes of the test
    if (write(ready[1], door ? "x" : "-", 1) != 1) _exit(3);
    pause();
    _exit(0);
  }
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
  meeting impatient = where;
  impatient.deadline_milliseconds = 100;
  try {
    ::close(attend(impatient));
    ADD_FAILURE() << "no error";
  } catch (const error& e) {
    EXPECT_TRUE(has(e.what(), "of another user, 12345")) << e.what();
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace zero::testing
