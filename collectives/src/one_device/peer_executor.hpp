#pragma once
// peer_executor: one rank's part of operations whose ranks share a device. Kernels and copies on
// the rank's own stream read the peers' memory where it lies, after the peers' events say that they
// may; memory of the host goes through staging on the device, piece by piece.
//
// Order on the device, and why nothing waits in a circle: see the README.

#include "device/executor.hpp"
#include "one_device/peer_table.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace zero::collectives {

class peer_executor final : public executor {
 public:
  // For the group in `block`.
  peer_executor(group& ranks, std::uint64_t block, std::shared_ptr<device_queue> queue,
                std::shared_ptr<peer_tables> tables);
  ~peer_executor() override;

  [[nodiscard]] std::uint64_t source_of(const device_placement& own) const noexcept override;
  void prepare(std::uint64_t k) override;
  [[nodiscard]] bool run(std::uint64_t k, const device_placement& own,
                         steady::duration patience) override;
  void conclude(std::uint64_t k) override;
  void order(std::uint64_t k, stream& later) override;
  [[nodiscard]] bool done(std::uint64_t k) override;
  [[nodiscard]] std::atomic<bool>& moving() noexcept override { return mine().moving; }
  void quiet(bool poisoned, steady::duration patience) noexcept override;
  [[nodiscard]] maker split(int color, int position) override;

 private:
  struct piece;
  [[nodiscard]] bool all_gather(const piece& p, const device_placement& own);
  [[nodiscard]] bool reduce_scatter(const piece& p, const device_placement& own);
  [[nodiscard]] bool all_to_all(const piece& p, const device_placement& own);
  [[nodiscard]] bool all_reduce(const piece& p, const device_placement& own);
  [[nodiscard]] bool broadcast(const piece& p, const device_placement& own);
  [[nodiscard]] bool stage_pieces(const piece& p, const device_placement& own);
  void sum_to_host(const piece& p, std::byte* out);
  // All ranks have queued what comes before, and what this rank queues from now on runs after it.
  [[nodiscard]] bool meet(const piece& p);

  void copy(void* to, const void* from, std::uint64_t bytes);
  [[nodiscard]] bool needs_staging(std::uint64_t k, const operation& op) const noexcept;
  [[nodiscard]] const std::byte* source(int rank, std::uint64_t k) const noexcept;
  [[nodiscard]] bool is_staged(int rank, std::uint64_t k) const noexcept;
  [[nodiscard]] const std::byte* piece_for_me(const piece& p, int from) const noexcept;
  [[nodiscard]] std::byte* half(int rank, const piece& p) const noexcept;
  void find_staging();
  [[nodiscard]] peer& mine() const noexcept {
    return table_->peers[static_cast<std::size_t>(group_.rank())];
  }

  group& group_;
  std::shared_ptr<device_queue> queue_;
  std::shared_ptr<peer_tables> tables_;
  std::shared_ptr<peer_table> table_;
  std::vector<int> in_world_order_;  // ranks of the group, as the world numbers them
  std::vector<const void*> from_;    // where each rank's piece is to be read, in that order
  std::uint64_t meetings_ = 0;
};

}  // namespace zero::collectives
