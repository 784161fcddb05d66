#pragma once
// Ranks as processes: forks one child a rank over a fresh shared_memory world and keeps what each
// came to in memory shared with the parent. The parent must have no other threads.

#include <zero/base/error.hpp>
#include <zero/base/trace.hpp>
#include <zero/collectives/shared_memory.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace zero::testing {

class rank_processes {
 public:
  using rank_body = std::function<void(collectives::communicator&)>;

  // What became of one rank. Written by the child but for `status`.
  struct outcome {
    std::atomic<std::uint64_t> steps;  // for the body to count what it has done
    std::atomic<std::int64_t> marked;  // for the body: when something happened, trace_clock()
    std::int64_t told;                 // when it threw
    bool returned;
    error_class kind;  // of what it threw; usage if it was no zero::error
    int culprits;
    std::array<int, 16> ranks;
    std::array<char, 512> text;
  };

  // Even ranks use the mapping they inherit, odd ones attach by the descriptor, elsewhere.
  rank_processes(int size, const rank_body& body)
      : world_(collectives::shared_memory_world::create(size, std::uint64_t{256} << 20)),
        bytes_(static_cast<std::size_t>(size) * sizeof(outcome)),
        outcomes_(static_cast<outcome*>(
            mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    std::fflush(nullptr);
    for (int rank = 0; rank < size; ++rank) {
      const pid_t child = fork();
      if (child == 0) be(rank, body);
      children_.push_back(child);
    }
  }
  rank_processes(const rank_processes&) = delete;
  rank_processes& operator=(const rank_processes&) = delete;
  ~rank_processes() {
    for (const pid_t child : children_) {
      if (child > 0) kill(child, SIGKILL);
    }
    for (std::size_t rank = 0; rank < children_.size(); ++rank) wait(static_cast<int>(rank));
    munmap(outcomes_, bytes_);
  }

  [[nodiscard]] collectives::shared_memory_world& world() { return world_; }
  [[nodiscard]] outcome& operator[](int rank) { return outcomes_[rank]; }
  [[nodiscard]] pid_t process(int rank) const { return children_[static_cast<std::size_t>(rank)]; }
  void send(int rank, int signal) { kill(children_[static_cast<std::size_t>(rank)], signal); }

  // Blocks until the child has ended; its wait status, or -1 if it had been waited for.
  int wait(int rank) {
    pid_t& child = children_[static_cast<std::size_t>(rank)];
    if (child <= 0) return -1;
    int status = 0;
    waitpid(child, &status, 0);
    child = 0;
    return status;
  }

 private:
  [[noreturn]] void be(int rank, const rank_body& body) {
    outcome& mine = outcomes_[rank];
    try {
      auto own = rank % 2 == 0 ? std::move(world_)
                               : collectives::shared_memory_world::attach(dup(world_.descriptor()));
      const auto ranks = own.join(rank);
      current() = &mine;
      body(*ranks);
      mine.returned = !::testing::Test::HasFailure();
    } catch (const peer_lost& lost) {
      keep(mine, lost, lost.ranks);
    } catch (const desync& apart) {
      keep(mine, apart, apart.ranks);
    } catch (const error& other) {
      keep(mine, other, {});
    } catch (const std::exception& other) {
      keep(mine, error(other.what(), error_class::usage), {});
    }
    std::fflush(nullptr);
    _exit(mine.returned ? 0 : 1);
  }

  static void keep(outcome& mine, const error& what, const std::vector<int>& ranks) {
    mine.told = trace_clock();
    mine.kind = what.kind();
    mine.culprits = static_cast<int>(ranks.size());
    for (std::size_t i = 0; i < ranks.size() && i < mine.ranks.size(); ++i) {
      mine.ranks[i] = ranks[i];
    }
    std::strncpy(mine.text.data(), what.what(), mine.text.size() - 1);
  }

  collectives::shared_memory_world world_;
  std::size_t bytes_;
  outcome* outcomes_;
  std::vector<pid_t> children_;

 public:
  // In a child: its own outcome.
  static outcome*& current() {
    static outcome* mine = nullptr;
    return mine;
  }
};

}  // namespace zero::testing
