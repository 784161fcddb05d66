#include "ranks/child_process.hpp"

#include "ranks/pipe_ends.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace zero::cli {
namespace {

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

// Numbers of the descriptors from 3 that are open now.
std::vector<int> open_descriptors() {
  std::vector<int> result;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string name = entry.path().filename();
    int number = -1;
    std::from_chars(name.data(), name.data() + name.size(), number);
    if (number > 2) result.push_back(number);
  }
  return result;
}

// All that happens between fork and exec: only calls that are safe there, on memory laid out
// before. Writes errno to `report` and ends if the program cannot run.
[[noreturn]] void become(const child_program& program, char* const* argv, char* const* envp,
                         const std::vector<int>& unwanted, pid_t parent, int report) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it ended before the line above
  // Moved out of the way first: each may be one of the numbers another is to become.
  const std::array<int, 3> streams{fcntl(program.input, F_DUPFD_CLOEXEC, 3),
                                   fcntl(program.output, F_DUPFD_CLOEXEC, 3),
                                   fcntl(program.errors, F_DUPFD_CLOEXEC, 3)};
  for (int i = 0; i < 3; ++i) {
    // A stream that is closed in the parent stays closed in the child.
    if (streams[static_cast<std::size_t>(i)] < 0) {
      close(i);
    } else {
      dup2(streams[static_cast<std::size_t>(i)], i);
    }
  }
  for (const int number : unwanted) fcntl(number, F_SETFD, FD_CLOEXEC);
  for (const int number : program.handed_down) fcntl(number, F_SETFD, 0);
  pthread_sigmask(SIG_SETMASK, &program.mask, nullptr);
  execvpe(argv[0], argv, envp);
  const int why = errno;
  [[maybe_unused]] const ssize_t written = write(report, &why, sizeof why);
  _exit(127);
}

}  // namespace

pipe_ends make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw io_error("pipe", "", errno);
  pipe_ends result{descriptor(ends[0]), descriptor(ends[1])};
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return result;
}

pid_t start(const child_program& program) {
  const std::vector<char*> argv = pointers_to(program.command);
  const std::vector<char*> envp = pointers_to(program.environment);
  pipe_ends report = make_pipe();
  fcntl(report.read.number(), F_SETFL, 0);  // waits for the exec
  const std::vector<int> unwanted = open_descriptors();
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw io_error("fork", program.command.front(), errno);
  if (child == 0) {
    become(program, argv.data(), envp.data(), unwanted, parent, report.write.number());
  }

  report.write.reset();
  int why = 0;
  ssize_t count = 0;
  do {
    count = read(report.read.number(), &why, sizeof why);
  } while (count < 0 && errno == EINTR);
  if (count == sizeof why) {
    waitpid(child, nullptr, 0);
    throw invalid_argument(
        fmt::format("cannot run '{}': {}", program.command.front(), std::strerror(why)));
  }
  return child;
}

std::vector<pid_t> children_of_this_process() {
  std::vector<pid_t> result;
  const pid_t self = getpid();
  std::error_code failed;  // what cannot be listed is not known
  std::filesystem::directory_iterator entry("/proc", failed);
  for (; !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed)) {
    const std::string name = entry->path().filename();
    pid_t candidate = 0;
    const auto [stop, failure] = std::from_chars(name.data(), name.data() + name.size(), candidate);
    if (failure != std::errc{} || stop != name.data() + name.size()) continue;
    // "pid (name, with any characters) state parent ..."
    std::ifstream file(entry->path() / "stat");
    std::string line;
    std::getline(file, line);
    const std::size_t end_of_name = line.rfind(')');
    if (end_of_name == std::string::npos || end_of_name + 4 > line.size()) continue;
    if (std::atoi(line.c_str() + end_of_name + 4) == self) result.push_back(candidate);
  }
  return result;
}

}  // namespace zero::cli
