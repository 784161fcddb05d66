#include "host_layout.hpp"

#include <zero/base/error.hpp>
#include <zero/collectives/crossing.hpp>

#include <algorithm>
#include <string>

namespace zero::collectives {
namespace {

struct figures {
  const host_layout& layout;
  const moved_elements& what;

  [[nodiscard]] std::uint64_t elsewhere(int rank) const {
    return static_cast<std::uint64_t>(layout.size()) - layout.members(layout.place_of(rank)).size();
  }
  [[nodiscard]] std::uint64_t other_hosts() const {
    return static_cast<std::uint64_t>(layout.hosts() - 1);
  }
  [[nodiscard]] std::uint64_t piece(int rank) const {
    return piece_count(what, layout.size(), rank);
  }
  [[nodiscard]] bool keeps_at_the_end(int rank) const {
    return layout.place_of(rank) == layout.hosts() - 1;
  }

  // All pieces, whoever sends them.
  [[nodiscard]] std::uint64_t direct_sums() const {
    std::uint64_t bytes = 0;
    for (int r = 0; r < layout.size(); ++r) bytes += piece(r) * elsewhere(r);
    return bytes * size_of(what.in);
  }
  [[nodiscard]] std::uint64_t chained_sums() const {
    std::uint64_t bytes = 0;
    for (int r = 0; r < layout.size(); ++r) {
      bytes += piece(r) * 4 * other_hosts();
      if (!keeps_at_the_end(r)) bytes += piece(r) * delivered_width(what);
    }
    return bytes;
  }

  // What `rank` sends.
  [[nodiscard]] std::uint64_t direct_sums_from(int rank) const {
    std::uint64_t elements = 0;
    for (int r = 0; r < layout.size(); ++r) {
      if (layout.place_of(r) != layout.place_of(rank)) elements += piece(r);
    }
    return elements * size_of(what.in);
  }
  [[nodiscard]] std::uint64_t chained_sums_from(int rank) const {
    const int place = layout.place_of(rank);
    const bool at_the_end = place == layout.hosts() - 1;
    std::uint64_t bytes = 0;
    for (int r = 0; r < layout.size(); ++r) {
      if (layout.carrier(place, r) != rank) continue;
      if (!at_the_end) bytes += piece(r) * 4;
      if (at_the_end && !keeps_at_the_end(r)) bytes += piece(r) * delivered_width(what);
    }
    return bytes;
  }
  [[nodiscard]] std::uint64_t sums_from(int rank) const {
    return way_of_sums(layout, what) == sum_way::chain ? chained_sums_from(rank)
                                                       : direct_sums_from(rank);
  }
  [[nodiscard]] std::uint64_t sums() const {
    return way_of_sums(layout, what) == sum_way::chain ? chained_sums() : direct_sums();
  }
};

}  // namespace

std::uint64_t piece_count(const moved_elements& what, int size, int rank) noexcept {
  if (what.kind != moving::all_reduce) return what.count;
  const auto ranks = static_cast<std::uint64_t>(size);
  const std::uint64_t slice = (what.count + ranks - 1) / ranks;
  const std::uint64_t begin = std::min(static_cast<std::uint64_t>(rank) * slice, what.count);
  return std::min(slice, what.count - begin);
}

std::uint64_t delivered_width(const moved_elements& what) noexcept {
  if (what.kind == moving::all_reduce) return size_of(what.in);
  return what.mode == write_mode::accumulate ? 4 : size_of(what.out);
}

sum_way way_of_sums(const host_layout& layout, const moved_elements& what) {
  const figures f{layout, what};
  const bool chain = layout.consecutive() && f.chained_sums() < f.direct_sums();
  return chain ? sum_way::chain : sum_way::direct;
}

sum_way way_of_sums(const ranks_on_hosts& ranks, const moved_elements& what) {
  return way_of_sums(host_layout(ranks), what);
}

std::uint64_t bytes_crossing(const ranks_on_hosts& ranks, const moved_elements& what) {
  const host_layout layout(ranks);
  const figures f{layout, what};
  const std::uint64_t width = size_of(what.in);
  const auto n = static_cast<std::uint64_t>(layout.size());
  switch (what.kind) {
    case moving::all_gather:
      return n * what.count * width * f.other_hosts();
    case moving::broadcast:
      return what.count * width * f.other_hosts();
    case moving::all_reduce:
      return f.sums() + what.count * width * f.other_hosts();
    case moving::all_to_all:
      return f.direct_sums();
    case moving::reduce_scatter:
      return f.sums();
  }
  return 0;
}

std::uint64_t bytes_crossing_from(const ranks_on_hosts& ranks, const moved_elements& what,
                                  int rank) {
  const host_layout layout(ranks);
  if (rank < 0 || rank >= layout.size()) {
    throw invalid_argument("[collectives.crossing] rank " + std::to_string(rank) + " of " +
                           std::to_string(layout.size()));
  }
  const figures f{layout, what};
  const std::uint64_t width = size_of(what.in);
  switch (what.kind) {
    case moving::all_gather:
      return what.count * width * f.other_hosts();
    case moving::broadcast:
      return rank == what.root ? what.count * width * f.other_hosts() : 0;
    case moving::all_reduce:
      return f.sums_from(rank) + f.piece(rank) * width * f.other_hosts();
    case moving::all_to_all:
      return f.direct_sums_from(rank);
    case moving::reduce_scatter:
      return f.sums_from(rank);
  }
  return 0;
}

}  // namespace zero::collectives
