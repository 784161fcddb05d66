#pragma once
// A program run to its end, or started and watched, by the tests of the command.

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace zero::test {

struct ran {
  int exit_code = -1;  // 128 + signal if it was killed
  std::string output;
  std::string errors;
  double seconds = 0;
};

// `more` are "NAME=value" added to the environment, `input` is its standard input. The program is
// killed after 60 s.
ran run(const std::vector<std::string>& command, const std::vector<std::string>& more = {},
        const std::string& input = "");

// The same in two halves, for tests that do something in between.
class running {
 public:
  running(const std::vector<std::string>& command, const std::vector<std::string>& more,
          const std::string& input = "");
  running(const running&) = delete;
  running& operator=(const running&) = delete;
  ~running();

  [[nodiscard]] pid_t id() const noexcept { return id_; }
  // Blocks until `text` stands in its output so often, for 30 s at most; whether it does.
  bool wait_for_output(const std::string& text, int times);
  ran finish();

 private:
  void take(int timeout_milliseconds);
  pid_t id_ = -1;
  int pipes_[2] = {-1, -1};
  ran result_;
  std::chrono::steady_clock::time_point begin_;
};

// Living processes that have `mark` as one of the "NAME=value" of their environment.
std::vector<pid_t> processes_marked(const std::string& mark);

// Waits until none is left, for `seconds` at most; whether that came true.
bool all_gone(const std::string& mark, double seconds);

int lines_in(const std::string& text);

}  // namespace zero::test
