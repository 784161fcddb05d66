#pragma once
// mover: one rank's part of an operation whose gate is open. Reads peers' memory directly; what
// peers cannot read goes through the staging areas, piece by piece, with a meeting for each.
//
// Used by one thread, the rank's lane. Allocates nothing after construction.

#include "shared_memory/group.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zero::collectives {

// The rank's own memory for one operation, as its own process sees it.
struct placement {
  const std::byte* in = nullptr;
  std::byte* out = nullptr;
};

class mover {
 public:
  explicit mover(group& ranks);

  // Blocks. False if the group was poisoned meanwhile.
  [[nodiscard]] bool run(std::uint64_t k, const placement& own, steady::duration patience);

 private:
  struct piece;
  [[nodiscard]] bool all_gather(const piece& p, const placement& own);
  [[nodiscard]] bool reduce_scatter(const piece& p, const placement& own);
  [[nodiscard]] bool all_to_all(const piece& p, const placement& own);
  [[nodiscard]] bool all_reduce(const piece& p, const placement& own);
  [[nodiscard]] bool broadcast(const piece& p, const placement& own);
  [[nodiscard]] bool show_pieces(const piece& p, const placement& own);
  [[nodiscard]] const std::byte* piece_for_me(const piece& p, const placement& own, int from) const;
  [[nodiscard]] bool needs_staging(std::uint64_t k, const operation& op) const noexcept;
  [[nodiscard]] std::byte* half(int rank, const piece& p) const noexcept;

  group& group_;
  std::vector<int> in_world_order_;  // ranks of the group, as the world numbers them
  std::vector<const void*> from_;    // where each rank's piece is to be read, in that order
};

}  // namespace zero::collectives
