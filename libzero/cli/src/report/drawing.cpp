#include "report/drawing.hpp"

#include "installed_places.hpp"
#include "ranks/child_process.hpp"
#include "ranks/pipe_ends.hpp"
#include "train/training_processes.hpp"

#include <zero/base/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>

namespace zero::cli {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::chrono::seconds longest{300};
constexpr int not_here = 77;  // what the program ends with where matplotlib is not there

struct ended_program {
  int status = 0;  // as waitpid has it
  int interrupted_by = 0;
  bool too_long = false;
  std::string output;
  std::string errors;
};

// False once the pipe is at its end.
bool take(descriptor& pipe, std::string& text) {
  std::array<char, 1 << 16> some{};
  while (true) {
    const ssize_t count = read(pipe.number(), some.data(), some.size());
    if (count > 0) {
      text.append(some.data(), static_cast<std::size_t>(count));
    } else if (count < 0 && errno == EINTR) {
      continue;
    } else if (count < 0 && errno == EAGAIN) {
      return true;
    } else {
      pipe.reset();
      return false;
    }
  }
}

std::vector<std::string> own_environment() {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) result.emplace_back(*entry);
  return result;
}

ended_program run_to_end(const std::vector<std::string>& command, signal_watch& signals) {
  const descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  pipe_ends output = make_pipe();
  pipe_ends errors = make_pipe();
  child_program program;
  program.command = command;
  program.environment = own_environment();
  program.input = nothing.number();
  program.output = output.write.number();
  program.errors = errors.write.number();
  program.mask = signals.original_mask();
  const pid_t child = start(program);
  output.write.reset();
  errors.write.reset();

  ended_program ended;
  const clock::time_point deadline = clock::now() + longest;
  while (output.read || errors.read) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now()).count();
    std::array<pollfd, 3> watched{{{output.read.number(), POLLIN, 0},
                                   {errors.read.number(), POLLIN, 0},
                                   {signals.descriptor(), POLLIN, 0}}};
    if (left > 0) poll(watched.data(), watched.size(), static_cast<int>(left));
    if (output.read) take(output.read, ended.output);
    if (errors.read) take(errors.read, ended.errors);
    ended.interrupted_by = signals.take().value_or(0);
    ended.too_long = clock::now() >= deadline;
    if (ended.interrupted_by != 0 || ended.too_long) {
      kill(child, SIGKILL);
      break;
    }
  }
  while (waitpid(child, &ended.status, 0) < 0 && errno == EINTR) {
  }
  return ended;
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

// Empty where the program drew; else what is to be said.
std::string result_of(const ended_program& ended, drawn_figures& drawn) {
  if (ended.too_long) return fmt::format("drawing took more than {} s", longest.count());
  if (!WIFEXITED(ended.status) || WEXITSTATUS(ended.status) != 0) {
    return fmt::format("drawing failed: {}", last_line(ended.errors));
  }
  const auto told = nlohmann::ordered_json::parse(ended.output, nullptr, false);
  if (!told.is_object() || told.value("schema", "") != "zero.figures/1") {
    return "drawing ended without figures";
  }
  drawn.figures = told.at("figures");
  return "";
}

}  // namespace

drawn_figures draw_figures(const std::vector<std::string>& paths, signal_watch& signals) {
  namespace fs = std::filesystem;
  drawn_figures drawn;
  const fs::path program = fs::path(this_program()).parent_path() / drawing_folder / "draw.py";
  std::error_code failure;
  if (!fs::exists(program, failure)) {
    drawn.missing = fmt::format("no pictures: {} is not there; tables only",
                                program.lexically_normal().string());
    return drawn;
  }
  for (const char* python : {"python3", "/usr/bin/python3"}) {
    std::vector<std::string> command{python, "-B", program.string(), "--"};
    command.insert(command.end(), paths.begin(), paths.end());
    ended_program ended;
    try {
      ended = run_to_end(command, signals);
    } catch (const invalid_argument&) {
      continue;  // no such program
    }
    drawn.interrupted_by = ended.interrupted_by;
    if (ended.interrupted_by != 0) return drawn;
    if (WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == not_here) continue;
    const std::string wrong = result_of(ended, drawn);
    if (!wrong.empty()) drawn.missing = fmt::format("no pictures: {}; tables only", wrong);
    return drawn;
  }
  drawn.missing =
      "no pictures: python3 with matplotlib is not here (Debian: python3-matplotlib); tables only";
  return drawn;
}

}  // namespace zero::cli
