#pragma once
// Ranks as processes that nothing ties together but what they are told: forks one child for each
// body and keeps what it came to in memory shared with the parent, which must have no other
// threads.

#include <zero/status.h>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <functional>
#include <new>
#include <string>
#include <vector>

namespace zero::testing {

// What a child came to. A child that failed an expectation or died has status -1.
struct forked_outcome {
  zero_status status = -1;
  zero_message why{};
  double value = 0;
};

using forked_body = std::function<forked_outcome()>;

class forked {
 public:
  explicit forked(const std::vector<forked_body>& bodies)
      : bytes_((bodies.size() + 1) * sizeof(forked_outcome)) {
    void* const shared =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    outcomes_ = static_cast<forked_outcome*>(shared);
    std::fflush(nullptr);
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      new (&outcomes_[i]) forked_outcome;
      const pid_t child = fork();
      if (child == 0) be(i, bodies[i]);
      children_.push_back(child);
    }
  }
  forked(const forked&) = delete;
  forked& operator=(const forked&) = delete;
  ~forked() {
    for (std::size_t i = 0; i < children_.size(); ++i) wait(i);
    munmap(outcomes_, bytes_);
  }

  [[nodiscard]] pid_t process(std::size_t i) const { return children_[i]; }

  // Blocks until the child has ended.
  const forked_outcome& wait(std::size_t i) {
    if (children_[i] > 0) waitpid(children_[i], nullptr, 0);
    children_[i] = 0;
    return outcomes_[i];
  }

 private:
  [[noreturn]] void be(std::size_t i, const forked_body& body) {
    const forked_outcome came_to = body();
    if (!::testing::Test::HasFailure()) outcomes_[i] = came_to;
    std::fflush(nullptr);
    _exit(0);
  }

  std::size_t bytes_;
  forked_outcome* outcomes_;
  std::vector<pid_t> children_;
};

}  // namespace zero::testing
