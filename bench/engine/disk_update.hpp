#pragma once
// The update of optimizer states that rest on a disk, as the engine makes it, and what it is made
// of, timed: reading alone, updating alone in memory, writing alone, both ways at once without
// updating, and all three one after the other for each record.
//
// One thread. What is made in the directory is removed at destruction.

#include <zero/base/copier.hpp>
#include <zero/collectives/communicator.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/offload/disk_tier.hpp>
#include <zero/offload/host_arena.hpp>
#include <zero/offload/tier_lane.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace zero::bench {

struct disk_update {
  std::string directory = "/var/tmp";
  std::uint64_t bytes = std::uint64_t{384} << 20;  // of optimizer states
  int depth = partition::tiering{}.depth;
  std::uint64_t cell = partition::tiering{}.cell_elements;
  double read_rate = 0.0;  // bytes a second that the disk is held to; 0: what it gives
  double write_rate = 0.0;

  [[nodiscard]] std::unique_ptr<offload::disk_engine> disk() const;
  [[nodiscard]] std::uint64_t elements() const { return bytes / 12 / cell * cell; }
};

// The engine: one rank, gradients and parameters in memory, optimizer states on disk.
class engine_run {
 public:
  explicit engine_run(const disk_update& u);
  // A whole micro-batch; seconds of its step until what was spilled is there.
  double step();

 private:
  std::unique_ptr<collectives::communicator> ranks_;
  sharded_optimizer optimizer_;
};

// The same records and the same arithmetic by hand; each in seconds.
class update_parts {
 public:
  explicit update_parts(const disk_update& u);
  double read();
  double write();
  double both();
  double update();
  double serial();

 private:
  using move = std::function<completion(std::size_t record, std::byte* block)>;
  [[nodiscard]] std::byte* block_of(std::size_t record) const;
  completion fetch(std::size_t record, std::byte* block);
  completion spill(std::size_t record, std::byte* block);
  void pass(const move& each);
  void move_both_ways();
  void update(std::size_t record);

  disk_update u_;
  std::uint64_t record_;
  std::size_t count_;
  host_copier copies_;
  offload::host_arena arena_;
  offload::disk_tier tier_;
  offload::tier_lane lane_;
  std::byte* blocks_ = nullptr;
  float* gradient_ = nullptr;
};

}  // namespace zero::bench
