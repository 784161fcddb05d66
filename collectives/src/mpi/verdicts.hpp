#pragma once
// verdicts: whether the ranks of all hosts are about to do the same, found out by the first ranks
// of the hosts. Each tells the first of them what the ranks of its host have posted; that one
// compares, as a group inside a host would, and tells everyone.
//
// Used by one thread, the lane of the first rank of a host. Nothing blocks.

#include "host_layout.hpp"
#include "mpi/links.hpp"
#include "shared_memory/group.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace zero::collectives {

class verdicts {
 public:
  // `here` and `layout` must outlive this; `world_ranks` are by rank of the group.
  verdicts(group& here, const host_layout& layout, int place, links wire,
           std::vector<int> world_ranks);
  verdicts(const verdicts&) = delete;
  verdicts& operator=(const verdicts&) = delete;
  ~verdicts();

  // Goes as far as it can: announces what is agreed on, poisons the group where ranks differ.
  // Throws what MPI says. Whether something is under way, so that it should be called again soon.
  bool progress();
  // Whether there is something to do that was not there when progress() last returned false.
  [[nodiscard]] bool has_work() const noexcept { return here_.gathered() > agreed_; }

 private:
  static constexpr std::size_t depth = 8;  // messages on their way to one host

  // What the first of all says of an operation; only `differs` is sent where it is 0.
  struct verdict {
    std::uint32_t differs;
    std::uint32_t culprits;
    std::array<std::int32_t, 32> ranks;
    std::array<char, 640> text;
  };
  struct peer {
    std::vector<operation> said;  // by every rank of that host, or one where they agree
    MPI_Request receiving = MPI_REQUEST_NULL;
    std::uint64_t bytes = 0;
    bool is_there = false;
  };

  [[nodiscard]] bool may_say(std::uint64_t k) const noexcept;
  void say();
  void listen();
  void judge();
  void tell(const verdict& v, std::uint64_t bytes);
  void take(const verdict& v);
  [[nodiscard]] std::size_t collect(std::uint64_t k, std::vector<operation>& into) const;

  group& here_;
  const host_layout& layout_;
  int place_;
  links wire_;
  std::vector<int> world_ranks_;
  std::uint64_t said_ = 0;    // operations this host's first rank has spoken of
  std::uint64_t agreed_ = 0;  // operations announced here

  std::array<std::vector<operation>, depth> saying_;
  std::vector<peer> peers_;  // of the first place, by place
  std::array<verdict, depth> telling_{};
  verdict told_{};
  MPI_Request listening_ = MPI_REQUEST_NULL;
  std::vector<MPI_Request> sends_;  // depth of them, times places for the first
  std::uint64_t judged_ = 0;
};

}  // namespace zero::collectives
