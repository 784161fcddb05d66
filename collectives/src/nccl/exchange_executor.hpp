#pragma once
// exchange_executor: one rank's part of operations whose ranks have a device each. Pieces of what
// is to be summed are exchanged and added in the order of world ranks, by the kernel that every
// backend on devices has: the bits of every other backend, for the bytes of a ring.
//
// The staging memory is one for all groups of a rank, whose work is on one stream.

#include "device/executor.hpp"
#include "device/queue.hpp"
#include "nccl/link.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace zero::collectives {

// Device memory in three parts: what is received, and what foreign memory is brought to and from.
struct exchange_staging {
  std::shared_ptr<std::byte> memory;
  std::uint64_t bytes = 0;  // a multiple of 1024
  [[nodiscard]] std::byte* received() const noexcept { return memory.get(); }
  [[nodiscard]] std::uint64_t received_bytes() const noexcept { return bytes / 2; }
  [[nodiscard]] std::byte* in() const noexcept { return memory.get() + bytes / 2; }
  [[nodiscard]] std::byte* out() const noexcept { return memory.get() + bytes / 4 * 3; }
  [[nodiscard]] std::uint64_t foreign_bytes() const noexcept { return bytes / 4; }
};

class exchange_executor final : public executor {
 public:
  exchange_executor(group& ranks, std::shared_ptr<device_queue> queue, exchange_staging staging,
                    std::shared_ptr<link> peers);

  [[nodiscard]] std::uint64_t source_of(const device_placement& own) const noexcept override;
  void prepare(std::uint64_t) override {}  // the link makes ranks wait for each other
  [[nodiscard]] bool run(std::uint64_t k, const device_placement& own,
                         steady::duration patience) override;
  void conclude(std::uint64_t k) override;
  void order(std::uint64_t k, stream& later) override;
  [[nodiscard]] bool done(std::uint64_t k) override;
  [[nodiscard]] std::atomic<bool>& moving() noexcept override { return moving_; }
  void quiet(bool poisoned, steady::duration patience) noexcept override;
  [[nodiscard]] maker split(int color, int position) override;

 private:
  struct piece;
  void all_gather(const piece& p, const device_placement& own);
  void reduce_scatter(const piece& p, const device_placement& own);
  void all_to_all(const piece& p, const device_placement& own);
  void all_reduce(const piece& p, const device_placement& own);
  void broadcast(const piece& p, const device_placement& own);
  [[nodiscard]] std::uint64_t most_of_piece(const operation& op, bool staged) const noexcept;
  void copy(void* to, const void* from, std::uint64_t bytes);
  void sum_received(const piece& p, const std::byte* mine, std::uint64_t pitch, std::byte* out,
                    std::uint64_t count);

  group& group_;
  std::shared_ptr<device_queue> queue_;
  exchange_staging staging_;
  std::shared_ptr<link> link_;
  std::unique_ptr<event_ring> events_;  // by operation: this rank's part is done
  std::vector<int> in_world_order_;     // ranks of the group, as the world numbers them
  std::vector<const void*> from_;       // in that order
  std::atomic<bool> moving_{false};
  std::atomic<std::uint64_t> concluded_{0};
  std::mutex aborting_;
  bool aborted_ = false;
};

}  // namespace zero::collectives
