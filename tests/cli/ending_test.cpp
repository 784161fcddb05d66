// A process that does not come to its end by itself.
#include "ranks/ending.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace zero::cli {
namespace {

using namespace std::chrono_literals;

TEST(ending, comes_with_the_exit_code_of_the_error) {
  const auto begin = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    end_within(200ms, 3);
    end_within(10s, 4);
    std::this_thread::sleep_for(1h);
    _exit(5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 200ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST(ending, by_itself_keeps_its_own_exit_code) {
  const pid_t child = fork();
  if (child == 0) {
    end_within(60s, 3);
    _exit(7);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace zero::cli
