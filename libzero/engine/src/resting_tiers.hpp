#pragma once
// resting_tiers: the stores of what rests below the device, the memory in which cells are worked
// on, and the lane that moves records between them. Everything a memory_plan says of tiers is
// allocated here, and counted.
//
// One thread, as its sharded_optimizer; the lane has its own.

#include <zero/base/buffer.hpp>
#include <zero/base/copier.hpp>
#include <zero/engine/options.hpp>
#include <zero/engine/reports.hpp>
#include <zero/offload/host_arena.hpp>
#include <zero/offload/tier_lane.hpp>
#include <zero/offload/tier_store.hpp>
#include <zero/optim/processor.hpp>
#include <zero/partition/memory_plan.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace zero {

// Bytes of a store in the statistics, for as long as it lives.
class counted_bytes {
 public:
  counted_bytes(memory_statistics& statistics, memory_account account, std::uint64_t bytes)
      : statistics_(statistics), account_(account), bytes_(bytes) {
    statistics_.add(account_, bytes_);
  }
  counted_bytes(const counted_bytes&) = delete;
  counted_bytes& operator=(const counted_bytes&) = delete;
  ~counted_bytes() { statistics_.subtract(account_, bytes_); }

 private:
  memory_statistics& statistics_;
  memory_account account_;
  std::uint64_t bytes_;
};

// Which processes of a host these ranks are, for memory that is near.
struct place_on_host {
  int rank = 0;        // of the world
  int index = 0;       // among the ranks of its host
  int neighbours = 1;  // those, this one included
};

class resting_tiers {
 public:
  // Host memory and files of everything in `plan`; nothing if all of it is on the device. `device`
  // is the memory that `work` reaches. Blocks until host memory is there and disk space is
  // reserved. Throws what host_arena, swap_file and record_store throw.
  resting_tiers(const partition::memory_plan& plan, const engine_options& options,
                optim::processor& work, memory_resource& device, memory_statistics& statistics,
                const place_on_host& place);
  ~resting_tiers();

  [[nodiscard]] bool any() const noexcept { return lane_ != nullptr; }
  // Null where the class rests on the device.
  [[nodiscard]] offload::tier_store* store(partition::tier_class of) const noexcept {
    return stores_[static_cast<std::size_t>(of)].get();
  }
  [[nodiscard]] offload::tier_lane& lane() const noexcept { return *lane_; }
  // What updates cells that are down.
  [[nodiscard]] optim::processor& host_work() const noexcept { return *host_work_; }

  // Of a cell under way, by number; null where the plan has none.
  [[nodiscard]] std::byte* host_block(std::size_t index) const noexcept {
    return index < host_blocks_.size() ? host_blocks_[index].as<std::byte>() : nullptr;
  }
  [[nodiscard]] std::byte* device_block(std::size_t index) const noexcept {
    return index < device_blocks_.size() ? device_blocks_[index].as<std::byte>() : nullptr;
  }
  // Both only with nothing outstanding.
  [[nodiscard]] tier_report report() const;
  // What is not as one would wish, a sentence each.
  [[nodiscard]] std::vector<std::string> notes() const;

 private:
  void make_arena(const partition::memory_plan& plan, const engine_options& options,
                  optim::processor& work, const place_on_host& place);
  void make_store(partition::tier_class of, const partition::memory_plan& plan,
                  const engine_options& options, memory_statistics& statistics, int rank);

  std::optional<offload::host_arena> arena_;
  std::unique_ptr<copier> copier_;
  std::unique_ptr<optim::processor> host_work_;
  std::array<std::unique_ptr<counted_bytes>, partition::tier_class_count> counted_;
  std::vector<buffer> host_blocks_;
  std::vector<buffer> device_blocks_;
  buffer bounce_;
  std::array<std::unique_ptr<offload::tier_store>, partition::tier_class_count> stores_;
  std::unique_ptr<offload::tier_lane> lane_;  // first to go: it uses all of the above
};

}  // namespace zero
