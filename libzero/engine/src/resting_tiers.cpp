#include "resting_tiers.hpp"

#include <zero/offload/disk_tier.hpp>
#include <zero/offload/memory_tier.hpp>
#include <zero/offload/processors.hpp>
#include <zero/offload/swap_file.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace zero {

using partition::purpose;
using partition::tier;
using partition::tier_class;

namespace {

constexpr std::array<const char*, partition::tier_class_count> class_names{
    "optimizer states", "gradients", "parameters"};

// Everything of the plan that lies in the arena.
bool in_arena(const partition::allocation& a) {
  if (a.account != memory_account::host) return false;
  return a.what == purpose::cell_host || a.what == purpose::bounce ||
         a.what == purpose::tier_records;
}

}  // namespace

resting_tiers::resting_tiers(const partition::memory_plan& plan, const engine_options& options,
                             optim::processor& work, memory_resource& device,
                             memory_statistics& statistics, const place_on_host& place) {
  if (!plan.tiers().any()) return;
  make_arena(plan, options, work, place);
  host_work_ = optim::make_host_processor();
  copier_ = work.make_copier();
  const auto depth = static_cast<std::size_t>(plan.tiers().depth);
  host_blocks_.resize(depth);
  device_blocks_.resize(depth);
  for (const partition::allocation& a : plan.allocations()) {
    if (a.what == purpose::cell_host) {
      host_blocks_[a.index] = buffer(*arena_, statistics, a.account, a.payload);
    } else if (a.what == purpose::cell_device) {
      device_blocks_[a.index] = buffer(device, statistics, a.account, a.payload);
    } else if (a.what == purpose::bounce) {
      bounce_ = buffer(*arena_, statistics, a.account, a.payload);
    }
  }
  for (std::size_t i = 0; i < partition::tier_class_count; ++i) {
    make_store(static_cast<tier_class>(i), plan, options, statistics, place.rank);
  }
  offload::tier_lane_options lane;
  lane.bounce_memory = bounce_.as<std::byte>();
  lane.bounces = bounce_ ? static_cast<std::size_t>(plan.tiers().bounces) : 0;
  lane.bounce_bytes = lane.bounces > 0 ? bounce_.size() / lane.bounces : 0;
  // A whole unit can be asked for at once.
  lane.depth = std::max<std::size_t>(64, 4 * plan.cells().size());
  // A store may take twice its deadline until it says that a transfer is late.
  lane.deadline = std::max(lane.deadline, 3 * options.disk_deadline);
  lane_ = std::make_unique<offload::tier_lane>(*copier_, lane);
  for (const auto& store : stores_) {
    if (store == nullptr) continue;
    for (const buffer& block : host_blocks_) {
      if (block) store->register_memory(block.data(), block.size());
    }
    if (bounce_) store->register_memory(bounce_.data(), bounce_.size());
  }
}

resting_tiers::~resting_tiers() = default;

void resting_tiers::make_arena(const partition::memory_plan& plan, const engine_options& options,
                               optim::processor& work, const place_on_host& place) {
  static_cast<void>(options);
  std::vector<offload::block_class> blocks;
  for (const partition::allocation& a : plan.allocations()) {
    if (in_arena(a)) blocks.push_back({static_cast<std::size_t>(a.payload), 1});
  }
  if (blocks.empty()) return;
  offload::host_arena_options how;
  if (place.neighbours > 0) {
    how.node = offload::share_of_processors(place.index, place.neighbours).node;
  }
  how.pin = [&work](void* memory, std::size_t bytes) { return work.pin(memory, bytes); };
  how.unpin = [&work](void* memory, std::size_t bytes) { work.unpin(memory, bytes); };
  arena_.emplace(blocks, std::move(how));
}

void resting_tiers::make_store(tier_class of, const partition::memory_plan& plan,
                               const engine_options& options, memory_statistics& statistics,
                               int rank) {
  const std::vector<std::uint64_t>& records = plan.records(of);
  if (records.empty()) return;
  const auto index = static_cast<std::size_t>(of);
  std::unique_ptr<offload::tier_store>& store = stores_[index];
  memory_account account = memory_account::host;
  switch (plan.tier_of(of)) {
    case tier::device:
      return;
    case tier::host:
      store = std::make_unique<offload::memory_tier>(*arena_, records);
      break;
    case tier::disk: {
      account = memory_account::disk;
      offload::swap_file file(options.disk_directory);
      offload::record_store_options how;
      how.label = "rank " + std::to_string(rank) + "'s " + class_names[index];
      how.deadline = options.disk_deadline;
      store = std::make_unique<offload::disk_tier>(
          options.make_disk ? options.make_disk() : offload::make_disk_engine(), std::move(file),
          records, how);
      break;
    }
  }
  counted_[index] = std::make_unique<counted_bytes>(statistics, account, store->total());
}

tier_report resting_tiers::report() const {
  tier_report report;
  if (lane_ == nullptr) return report;
  const offload::tier_traffic moved = lane_->traffic();
  report.host_to_device = moved.host_to_device;
  report.device_to_host = moved.device_to_host;
  report.disk_read = moved.disk_read;
  report.disk_written = moved.disk_written;
  const auto seconds = [](std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
  };
  report.copying_up = seconds(moved.copying_up);
  report.copying_down = seconds(moved.copying_down);
  report.moving = seconds(moved.moving);
  report.disk_reading = seconds(moved.reading);
  report.disk_writing = seconds(moved.writing);
  return report;
}

std::vector<std::string> resting_tiers::notes() const {
  std::vector<std::string> all;
  if (arena_) all = arena_->notes();
  for (const auto& store : stores_) {
    if (store == nullptr) continue;
    for (std::string& note : store->notes()) {
      if (std::find(all.begin(), all.end(), note) == all.end()) all.push_back(std::move(note));
    }
  }
  return all;
}

}  // namespace zero
