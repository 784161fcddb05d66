#pragma once
// tally: how many inputs were accepted, said when the program ends: a fuzzer that is always refused
// has tried nothing of what follows. scripts/fuzz.sh reads it.

#include <cstddef>
#include <cstdio>

namespace zero::checkpoint::fuzz {

class tally {
 public:
  tally() = default;
  tally(const tally&) = delete;
  tally& operator=(const tally&) = delete;
  ~tally() { std::fprintf(stderr, "accepted: %zu\n", accepted_); }
  void accept() noexcept { ++accepted_; }

 private:
  std::size_t accepted_ = 0;
};

}  // namespace zero::checkpoint::fuzz
