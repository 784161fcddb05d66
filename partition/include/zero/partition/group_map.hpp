#pragma once
// group_map: which rank owns which piece of a bucket, for every class of model state.
//
// A bucket is cut into world_size equal pieces, whatever the policy. Every rank owns one: it alone
// sums its gradients and adds its share of the norm. What is sharded over groups of L ranks, G
// groups in all, is held as G consecutive pieces, and rank j of a group g owns piece j * G + g, so
// that what it holds contains what it owns. Without such classes rank r owns piece r.
//
// Immutable, pure arithmetic.

#include <zero/partition/sharding_policy.hpp>

#pragma GCC visibility push(default)
namespace zero::partition {

// Ranks that talk to each other in one operation.
enum class rank_group : unsigned char {
  nobody,  // there is nothing to say
  world,   // all, numbered by the piece they own
  within,  // those of one group
  across,  // those with the same place in their groups, numbered by group
};

// Consecutive pieces.
struct piece_run {
  int first = 0;
  int count = 0;
};

class group_map {
 public:
  // node_ranks: ranks of a group where the policy has none; 0 and 1: no groups then either. Throws
  // what check(policy, world_size) refuses. A multiple of node_ranks makes the world.
  group_map(const sharding_policy& policy, int world_size, int node_ranks = 0);

  [[nodiscard]] int world_size() const noexcept { return world_size_; }
  // Ranks of a group and how many groups; 1 and the world where there are none.
  [[nodiscard]] int group_size() const noexcept { return group_size_; }
  [[nodiscard]] int groups() const noexcept { return world_size_ / group_size_; }
  [[nodiscard]] int group_of(int rank) const noexcept { return rank / group_size_; }
  [[nodiscard]] int place_of(int rank) const noexcept { return rank % group_size_; }

  // The piece a rank owns, and the rank that owns a piece.
  [[nodiscard]] int piece_of(int rank) const noexcept;
  [[nodiscard]] int owner_of(int piece) const noexcept;
  // Whether some rank owns another piece than that of its own number.
  [[nodiscard]] bool permuted() const noexcept { return permuted_; }

  // Pieces of a shard of what is sharded over `over`: all, G, or one.
  [[nodiscard]] int pieces_of(sharded_over over) const noexcept;
  // What a rank holds of it; contains piece_of(rank).
  [[nodiscard]] piece_run held(sharded_over over, int rank) const noexcept;
  // Among whom shards over `from` are gathered to become shards over `to`. Each rank's piece or run
  // then stands at its number in that group. nobody when `from` is `to`. `to` is over no more ranks
  // than `from`.
  [[nodiscard]] rank_group gathers(sharded_over from, sharded_over to) const noexcept;
  // How many ranks such an operation joins.
  [[nodiscard]] int size_of(rank_group among) const noexcept;
  [[nodiscard]] int number_in(rank_group among, int rank) const noexcept;

 private:
  int world_size_ = 1;
  int group_size_ = 1;
  bool permuted_ = false;
};

}  // namespace zero::partition
#pragma GCC visibility pop
