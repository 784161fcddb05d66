// A rank for the tests of `zero launch` and of rank processes: does what its first argument says.
//
//   say                    rank and environment on standard output, one line on standard error
//   partial                text without a newline at its end
//   exit RANK CODE         that rank ends with CODE; the others wait to be ended
//   exit_late CODE         rank 0 ends with exit code 3, rank 1 a little later with CODE
//   die RANK SIGNAL        that rank kills itself; the others wait
//   collective RANK SIGNAL as die, but the others wait in a collective and end with its exit class
//   meet                   meets the others by ZERO_MEETING and works with them until that fails,
//   then
//                          ends with the exit class
//   absent RANK MILLISECONDS  that rank ends well so late without joining the others, who wait for
//                          it in a collective
//   stubborn RANK CODE     as exit, and the others ignore SIGTERM
//   orphan RANK CODE       as exit, after every rank has started a process that outlives it
//   wait                   until ended
//   descriptors            the descriptors that are open
//   input                  what standard input has
//   results                lines to the starter: {"schema": "test", "rank": RANK}, one in two
//   pieces

#include "ranks/rank_environment.hpp"
#include "ranks/result_channel.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/meeting.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace {

using namespace zero;

[[noreturn]] void wait_to_be_ended() {
  for (;;) pause();
}

std::string variable(const char* name) { return cli::process_variable(name).value_or("-"); }

void say(int rank) {
  fmt::print("rank {} of {}, local {} of {}, threads {} {}\n", rank, variable("WORLD_SIZE"),
             variable("LOCAL_RANK"), variable("LOCAL_WORLD_SIZE"), variable("OMP_NUM_THREADS"),
             variable("OPENBLAS_NUM_THREADS"));
  fmt::print(stderr, "error of {}\n", rank);
}

int wait_in_collective(const cli::rank_identity& identity) {
  try {
    auto ranks = collectives::shared_memory_world::attach(identity.arena).join(identity.who.rank);
    ranks->barrier().wait();
  } catch (const error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return static_cast<int>(e.kind());
  }
  return 0;
}

int meet_and_work(const cli::rank_identity& identity) {
  try {
    const auto ranks = collectives::meet({variable("ZERO_MEETING"), identity.who});
    for (int step = 0;; ++step) {
      ranks->barrier().wait();
      if (step != 0) continue;
      fmt::print("met\n");
      std::fflush(stdout);
    }
  } catch (const error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return static_cast<int>(e.kind());
  }
}

void start_an_orphan() {
  if (fork() != 0) return;
  setsid();
  wait_to_be_ended();
}

void list_descriptors() {
  std::vector<std::string> open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    // The listing itself has one, which is no file any more when it is asked for.
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    if (gone || target.string().find("/proc/") == 0) continue;
    const std::string number = entry.path().filename();
    if (std::stoi(number) > 2 && number != variable("ZERO_ARENA_FD")) open.push_back(number);
  }
  fmt::print("extra {}\n", open.size());
}

int act(const cli::rank_identity& identity, const std::vector<std::string>& told) {
  const int rank = identity.who.rank;
  const std::string& what = told[0];
  const auto told_number = [&told](std::size_t i) { return std::stoi(told.at(i)); };
  if (what == "say") {
    say(rank);
  } else if (what == "partial") {
    fmt::print("no newline");
  } else if (what == "descriptors") {
    list_descriptors();
  } else if (what == "input") {
    for (std::string line; std::getline(std::cin, line);) fmt::print("read {}\n", line);
  } else if (what == "results") {
    auto channel = cli::result_channel::from_environment();
    channel->send({{"schema", "test"}, {"rank", rank}});
    channel->send({{"schema", "test"}, {"rank", rank}, {"long", std::string(200'000, 'x')}});
  } else if (what == "meet") {
    return meet_and_work(identity);
  } else if (what == "exit_late") {
    if (rank == 0) return 3;
    usleep(300'000);
    return told_number(1);
  } else if (what == "absent") {
    if (rank != told_number(1)) return wait_in_collective(identity);
    usleep(static_cast<useconds_t>(1000 * told_number(2)));
  } else if (what == "wait") {
    fmt::print("waiting\n");
    std::fflush(stdout);
    wait_to_be_ended();
  } else {
    if (what == "stubborn") {
      signal(SIGTERM, SIG_IGN);
      fmt::print("stubborn\n");
      std::fflush(stdout);
    }
    if (what == "orphan") start_an_orphan();
    if (rank != told_number(1)) {
      if (what == "collective") return wait_in_collective(identity);
      wait_to_be_ended();
    }
    if (what == "exit" || what == "stubborn" || what == "orphan") return told_number(2);
    usleep(100'000);  // the others are in their wait by now, most likely; it holds either way
    kill(getpid(), told_number(2));
    wait_to_be_ended();
  }
  return 0;
}

}  // namespace

int main(int count, char** values) {
  const std::vector<std::string> told(values + 1, values + count);
  const auto identity = zero::cli::rank_from_environment();
  if (!identity || told.empty()) return 99;
  return act(*identity, told);
}
