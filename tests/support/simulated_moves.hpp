#pragma once
// What an operation of the simulated world is, and what it does to memory: a model of its own, so
// that it can be wrong only on its own account. One thread.

#include <zero/base/completion.hpp>
#include <zero/base/typed_span.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

namespace zero::testing {

enum class deed : unsigned char {
  all_gather,
  reduce_scatter,
  all_reduce,
  all_to_all,
  broadcast,
  barrier
};

// What ranks must agree on.
struct description {
  deed what = deed::barrier;
  std::uint64_t elements = 0;
  dtype in_type = dtype::byte;
  dtype out_type = dtype::byte;
  collectives::write_mode mode = collectives::write_mode::overwrite;
  int root = 0;
  int tag = -1;

  [[nodiscard]] auto all() const {
    return std::tie(what, elements, in_type, out_type, mode, root, tag);
  }
};

struct posted {
  bool there = false;
  description says;
  const_typed_span in;
  typed_span out;
  completion after;
};

struct operation {
  std::vector<posted> by;  // member of the group
  std::vector<std::vector<unsigned char>> inputs;
  bool begun = false;
};

struct group {
  std::vector<int> members;  // ranks of the world
  std::deque<operation> waiting;
  std::uint64_t done = 0;                                    // operations
  std::vector<std::uint64_t> queued;                         // by member
  std::map<std::pair<std::uint64_t, int>, group*> children;  // by split and colour
  std::vector<std::uint64_t> splits;                         // by member
};

// The number of a rank of the world among the members.
[[nodiscard]] std::size_t member(const group& g, int rank);

// Copies what every member gives.
void take_inputs(operation& op);
// Writes what every member gets; sums in the order of `members`, ranks of the world.
void put_results(const operation& op, const std::vector<int>& members);

}  // namespace zero::testing
