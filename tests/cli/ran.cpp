#include "cli/ran.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace zero::test {
namespace {

namespace fs = std::filesystem;
using clock = std::chrono::steady_clock;

double since(clock::time_point begin) {
  return std::chrono::duration<double>(clock::now() - begin).count();
}

// The child's side of the fork.
[[noreturn]] void become(const std::vector<std::string>& command,
                         const std::vector<std::string>& more, int input, int output, int errors) {
  dup2(input, 0);
  dup2(output, 1);
  dup2(errors, 2);
  // Whatever this test was started under, nohup for one.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGPIPE}) signal(number, SIG_DFL);
  for (const std::string& entry : more) putenv(strdup(entry.c_str()));
  std::vector<char*> argv;
  for (const std::string& part : command) argv.push_back(strdup(part.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

}  // namespace

running::running(const std::vector<std::string>& command, const std::vector<std::string>& more,
                 const std::string& input)
    : begin_(clock::now()) {
  int in[2];
  int out[2];
  int err[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
    std::abort();
  }
  id_ = fork();
  if (id_ == 0) become(command, more, in[0], out[1], err[1]);
  for (const int number : {in[0], out[1], err[1]}) close(number);
  if (write(in[1], input.data(), input.size()) < 0) std::abort();
  close(in[1]);
  pipes_[0] = out[0];
  pipes_[1] = err[0];
}

running::~running() {
  if (id_ > 0) {
    kill(id_, SIGKILL);
    waitpid(id_, nullptr, 0);
  }
  for (const int number : pipes_) {
    if (number >= 0) close(number);
  }
}

void running::take(int timeout_milliseconds) {
  pollfd watched[2] = {{pipes_[0], POLLIN, 0}, {pipes_[1], POLLIN, 0}};
  poll(watched, 2, timeout_milliseconds);
  for (int i = 0; i < 2; ++i) {
    if (watched[i].revents == 0) continue;
    char room[4096];
    const ssize_t count = read(pipes_[i], room, sizeof room);
    if (count > 0) {
      (i == 0 ? result_.output : result_.errors).append(room, static_cast<std::size_t>(count));
    } else {
      close(pipes_[i]);
      pipes_[i] = -1;
    }
  }
}

bool running::wait_for_output(const std::string& text, int times) {
  while (since(begin_) < 30) {
    int found = 0;
    for (std::size_t at = result_.output.find(text); at != std::string::npos;
         at = result_.output.find(text, at + 1)) {
      ++found;
    }
    if (found >= times) return true;
    take(100);
  }
  return false;
}

ran running::finish() {
  int status = 0;
  while (waitpid(id_, &status, WNOHANG) == 0) {
    take(5);
    if (since(begin_) > 60) kill(id_, SIGKILL);
  }
  result_.seconds = since(begin_);
  id_ = -1;
  // What it wrote last. An orphan that still holds a pipe does not keep us.
  for (int quiet = 0; quiet < 3 && (pipes_[0] >= 0 || pipes_[1] >= 0);) {
    const std::size_t before = result_.output.size() + result_.errors.size();
    take(20);
    quiet = result_.output.size() + result_.errors.size() == before ? quiet + 1 : 0;
  }
  result_.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result_;
}

ran run(const std::vector<std::string>& command, const std::vector<std::string>& more,
        const std::string& input) {
  return running(command, more, input).finish();
}

std::vector<pid_t> processes_marked(const std::string& mark) {
  std::vector<pid_t> result;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    pid_t id = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), id);
    if (parsed.ec != std::errc{} || parsed.ptr != name.data() + name.size()) continue;
    std::ifstream file(entry.path() / "environ", std::ios::binary);
    const std::string environment{std::istreambuf_iterator<char>(file), {}};
    // Empty for the dead that wait to be reaped.
    if (('\0' + environment).find('\0' + mark + '\0') != std::string::npos) result.push_back(id);
  }
  return result;
}

bool all_gone(const std::string& mark, double seconds) {
  const auto begin = clock::now();
  while (!processes_marked(mark).empty()) {
    if (since(begin) > seconds) return false;
    poll(nullptr, 0, 10);
  }
  return true;
}

int lines_in(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace zero::test
