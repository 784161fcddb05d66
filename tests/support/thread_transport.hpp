#pragma once
// A transport of threads, as a client might have one: every function waits until all ranks are in
// it, and then each copies what it needs. Checks what the library promises of its calls: that all
// ranks call the same function with the same sizes, and that no call is larger than it says.
//
// Any rank's call can be made to fail or to bring wrong bytes; then all that wait fail.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace zero::testing {

class thread_transport {
 public:
  explicit thread_transport(int size)
      : ranks_(static_cast<std::size_t>(size)), calls_(ranks_.size()) {}

  // The `number`-th call of rank `rank`, from 0, fails; -1: none does.
  void fail_at(int rank, int number) {
    failing_rank_ = rank;
    failing_call_ = number;
  }
  // Gathers and exchanges bring rank `rank` the pieces in the wrong order. A broadcast has one
  // piece.
  void confuse(int rank) { confused_ = rank; }

  [[nodiscard]] int calls(int rank) const { return calls_[static_cast<std::size_t>(rank)]; }

  // Each returns false if it failed.
  bool all_gather(int rank, const void* own, void* all, std::size_t bytes) {
    return call(rank, 'g', own, bytes, bytes, [&](std::size_t r, const char* from) {
      std::memcpy(static_cast<char*>(all) + r * bytes, from, bytes);
    });
  }
  bool all_to_all(int rank, const void* in, void* out, std::size_t bytes) {
    return call(rank, 'a', in, bytes, bytes * ranks_.size(), [&](std::size_t r, const char* from) {
      std::memcpy(static_cast<char*>(out) + r * bytes,
                  from + static_cast<std::size_t>(rank) * bytes, bytes);
    });
  }
  bool broadcast(int rank, void* bytes, std::size_t count, int root) {
    return call(rank, 'b', bytes, count, count, [&](std::size_t r, const char*) {
      // The root's, not those of another: they are where that one receives.
      if (r != static_cast<std::size_t>(root) || root == rank) return;
      std::memcpy(bytes, ranks_[r].bytes, count);
    });
  }

 private:
  struct place {
    const char* bytes = nullptr;
    std::size_t count = 0;
    char kind = 0;
  };

  template <typename Copy>
  bool call(int rank, char kind, const void* bytes, std::size_t piece, std::size_t whole,
            Copy copy) {
    const auto me = static_cast<std::size_t>(rank);
    if (piece > (std::size_t{1} << 20) || whole > (std::size_t{8} << 20)) return fail();
    if (calls_[me]++ == failing_call_ && rank == failing_rank_) return fail();
    ranks_[me] = {static_cast<const char*>(bytes), piece, kind};
    if (!meet()) return false;
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      if (ranks_[r].kind != kind || ranks_[r].count != piece) return fail();
    }
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      const std::size_t from = rank == confused_ ? (r + 1) % ranks_.size() : r;
      copy(r, ranks_[from].bytes);
    }
    return meet();
  }

  bool fail() {
    const std::lock_guard lock(mutex_);
    broken_ = true;
    changed_.notify_all();
    return false;
  }

  bool meet() {
    std::unique_lock lock(mutex_);
    const std::uint64_t now = meetings_;
    if (++here_ == ranks_.size()) {
      here_ = 0;
      ++meetings_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return meetings_ > now || broken_; });
    return meetings_ > now;
  }

  std::vector<place> ranks_;
  std::vector<int> calls_;
  int failing_rank_ = -1;
  int failing_call_ = -1;
  int confused_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t here_ = 0;
  std::uint64_t meetings_ = 0;
  bool broken_ = false;
};

}  // namespace zero::testing
