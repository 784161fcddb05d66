#pragma once
// two_level: one rank's part of an operation of a group that spans hosts. Inside the host ranks
// read each other's memory, between hosts messages of bounded size go through buffers of its own,
// so that no memory of the caller is ever in MPI's hands.
//
// Every operation goes in rounds over equal parts of all pieces. What is sent in a round is used
// `lag` rounds later, so that messages travel while others are added up; a round's buffers are used
// again `window` rounds later. The size of a part depends on the operation and the group alone, so
// all ranks cut alike.
//
// Used by one thread, the rank's lane. Allocates nothing after construction.

#include "host_layout.hpp"
#include "mpi/links.hpp"
#include "shared_memory/group.hpp"
#include "shared_memory/mover.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace zero::collectives {

class two_level {
 public:
  // `here` are the ranks of this host, in the order of layout.members(). `go_on` is asked while
  // messages are awaited and says whether to wait on. Both and `layout` must outlive this.
  two_level(group& here, const host_layout& layout, int rank, links wire,
            std::function<bool()> go_on);
  two_level(const two_level&) = delete;
  two_level& operator=(const two_level&) = delete;
  // Gives up what is under way, after an error; its buffers then stay with MPI.
  ~two_level();

  // Blocks. False if go_on said so or the group was poisoned. Throws what MPI says.
  [[nodiscard]] bool run(std::uint64_t k, const placement& own);

  // Bytes this rank sent to other hosts since construction. Any thread.
  [[nodiscard]] std::uint64_t crossed() const noexcept { return crossed_.load(); }

 private:
  struct job;
  [[nodiscard]] job make_job(std::uint64_t k, const placement& own) const;
  void cut(job& j, std::uint64_t most) const noexcept;
  [[nodiscard]] bool is_staged(const job& j) const noexcept;

  // The three ways a piece travels: every rank to every other host, each to each, host by host.
  [[nodiscard]] bool spread(job j);
  [[nodiscard]] bool exchange(job j);
  [[nodiscard]] bool chain(job j);

  void spread_begin(const job& j, std::uint64_t t);
  void spread_receive(const job& j, std::uint64_t t);
  [[nodiscard]] bool spread_arrived(const job& j, std::uint64_t t);
  void spread_take(const job& j, std::uint64_t t) const;
  void exchange_receive(const job& j, std::uint64_t t);
  [[nodiscard]] bool exchange_send(const job& j, std::uint64_t t);
  [[nodiscard]] bool exchange_take(const job& j, std::uint64_t t);
  void chain_receive(const job& j, std::uint64_t t);
  [[nodiscard]] bool chain_pass(const job& j, std::uint64_t t, int piece, std::size_t slot);
  [[nodiscard]] bool chain_take(const job& j, std::uint64_t t);

  void send(const void* from, std::uint64_t bytes, int to, MPI_Request& request);
  [[nodiscard]] bool settle(MPI_Request& request) const;
  [[nodiscard]] bool settle_sends();
  [[nodiscard]] bool meet(const job& j);
  [[nodiscard]] const std::byte* piece_here(const job& j, int index, int piece, std::uint64_t t,
                                            std::uint64_t staged_at) const;

  group& here_;
  const host_layout& layout_;
  int me_;
  int place_;
  links wire_;
  std::function<bool()> go_on_;

  std::vector<int> here_in_world_order_;     // indices
  std::vector<int> elsewhere_;               // ranks on other hosts
  std::vector<int> carried_;                 // pieces this rank carries, its own among them
  std::vector<int> carrier_index_;           // by piece: the index of who carries it here
  std::vector<std::uint64_t> carrier_slot_;  // by piece: its number among what that one carries
  std::uint64_t most_carried_ = 1;           // by any rank of any host
  std::vector<const void*> from_;
  std::vector<const void*> in_order_;

  std::unique_ptr<std::byte[]> outgoing_;
  std::unique_ptr<std::byte[]> incoming_;
  std::size_t slots_;  // messages of one round
  std::vector<MPI_Request> sends_;
  std::vector<MPI_Request> receives_;
  std::atomic<std::uint64_t> crossed_{0};
};

}  // namespace zero::collectives
