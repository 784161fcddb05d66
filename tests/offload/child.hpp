#pragma once
// A body run in a child process under limits that this one must not have. The parent must have no
// other threads.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>

namespace zero::testing {

// Runs its body from construction on.
class speaking_child {
 public:
  explicit speaking_child(const std::function<std::string()>& body) {
    int ends[2];
    if (pipe(ends) != 0) return;
    std::fflush(nullptr);
    child_ = fork();
    if (child_ == 0) {
      std::string said;
      try {
        said = body();
      } catch (const std::exception& thrown) {
        said = std::string("threw: ") + thrown.what();
      }
      const ssize_t written = write(ends[1], said.data(), said.size());
      _exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
    }
    close(ends[1]);
    end_ = ends[0];
  }
  speaking_child(const speaking_child&) = delete;
  speaking_child& operator=(const speaking_child&) = delete;
  ~speaking_child() { static_cast<void>(said()); }

  // What the body returned; "threw: ..." if it did not. Empty: it was killed. Waits for its end.
  [[nodiscard]] std::string said() {
    if (end_ < 0) return said_;
    char part[512];
    for (ssize_t n = 0; (n = read(end_, part, sizeof(part))) > 0;) {
      said_.append(part, static_cast<std::size_t>(n));
    }
    close(end_);
    end_ = -1;
    int status = 0;
    waitpid(child_, &status, 0);
    return said_;
  }

 private:
  pid_t child_ = 0;
  int end_ = -1;
  std::string said_;
};

inline std::string in_child(const std::function<std::string()>& body) {
  return speaking_child(body).said();
}

// A child that goes on until it is killed; it says when it has begun.
class endless_child {
 public:
  // `body` is given something to call once it is well under way.
  explicit endless_child(const std::function<void(const std::function<void()>&)>& body) {
    int ends[2];
    if (pipe(ends) != 0) return;
    std::fflush(nullptr);
    child_ = fork();
    if (child_ == 0) {
      const auto begun = [&] {
        const ssize_t written = write(ends[1], "x", 1);
        static_cast<void>(written);
      };
      try {
        body(begun);
      } catch (const std::exception&) {  // the parent sees that it did not last
      }
      _exit(1);
    }
    close(ends[1]);
    char byte = 0;
    begun_ = read(ends[0], &byte, 1) == 1;
    close(ends[0]);
  }
  endless_child(const endless_child&) = delete;
  endless_child& operator=(const endless_child&) = delete;
  ~endless_child() {
    if (child_ > 0) end();
  }

  [[nodiscard]] bool begun() const noexcept { return begun_; }
  // Kills it; whether it was running until then.
  bool end() {
    kill(child_, SIGKILL);
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = 0;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

 private:
  pid_t child_ = 0;
  bool begun_ = false;
};

}  // namespace zero::testing
