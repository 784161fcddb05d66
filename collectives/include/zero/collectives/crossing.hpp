#pragma once
// crossing: how many bytes one operation sends from host to host, and by which way sums travel.
//
// Pure functions. The backend that spans hosts chooses its way by them, and planners predict with
// them what traffic::crossed will count. What ranks tell each other besides the elements (what they
// are about to do, that they are alive) is not counted: some hundred bytes an operation and host.

#include <zero/base/dtype.hpp>
#include <zero/collectives/communicator.hpp>

#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
namespace zero::collectives {

// Where the ranks of a group are.
struct ranks_on_hosts {
  std::vector<int> host;   // of each rank of the group; any numbers
  std::vector<int> order;  // ranks of the group in the order of the world; empty: as numbered
};

enum class moving : unsigned char {
  all_gather,
  reduce_scatter,
  all_to_all,
  all_reduce,
  broadcast,
};

struct moved_elements {
  moving kind = moving::all_gather;
  std::uint64_t count = 0;  // of a rank's piece; of the whole for all_reduce and broadcast
  dtype in = dtype::fp32;
  dtype out = dtype::fp32;  // reduce_scatter: what the sum is kept in; elsewhere as `in`
  write_mode mode = write_mode::overwrite;  // reduce_scatter
  int root = 0;                             // broadcast
};

// How sums cross. Both add by rank of the world, from 0, in fp32.
enum class sum_way : unsigned char {
  direct,  // every rank sends its piece, in its own dtype, to the rank that keeps the sum
  chain,  // partial sums in fp32 go from host to host; the last host sends the sum where it belongs
};

// The way by which fewer bytes cross in all; direct if they are as many, or if the ranks of some
// host do not follow each other in the order of the world.
[[nodiscard]] sum_way way_of_sums(const ranks_on_hosts& ranks, const moved_elements& what);

// With n ranks on m hosts, L(r) of them on the host of rank r, pieces of c elements of w bytes:
//   all_gather      each rank sends its piece to one rank of each other host: c w (m - 1)
//   all_to_all      each rank sends a piece to each rank elsewhere:           c w (n - L(r))
//   broadcast       the root sends everything to one rank of each other host
//   reduce_scatter  direct: as all_to_all. chain: for each piece 4 c bytes from each host but the
//                   last, and from the last host, unless it keeps the sum, c bytes times 4 if
//                   accumulating, else times the size of `out`. On each host one rank carries a
//                   piece: its own rank, elsewhere they take turns.
//   all_reduce      as reduce_scatter and all_gather over n slices of ceil(count / n) elements
[[nodiscard]] std::uint64_t bytes_crossing(const ranks_on_hosts& ranks, const moved_elements& what);
// Those that rank `rank` of the group sends.
[[nodiscard]] std::uint64_t bytes_crossing_from(const ranks_on_hosts& ranks,
                                                const moved_elements& what, int rank);

}  // namespace zero::collectives
#pragma GCC visibility pop
