#pragma once
// paced_disk: a disk engine whose results come no sooner than a disk would give them that moves so
// many bytes a second each way, neither way taking from the other. Disks of virtual machines share
// one rate between both and hide what overlapping them is worth.
//
// One thread, as every disk_engine. Nothing is allocated after construction.

#include <zero/offload/disk_engine.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace zero {

class paced_disk final : public offload::disk_engine {
 public:
  // Bytes a second.
  paced_disk(std::unique_ptr<offload::disk_engine> disk, double read, double write)
      : disk_(std::move(disk)), rates_{read, write}, waiting_(disk_->depth()) {}

  [[nodiscard]] const char* name() const noexcept override { return "paced"; }
  [[nodiscard]] std::size_t depth() const noexcept override { return disk_->depth(); }

  [[nodiscard]] int submit(const offload::disk_request& request) override {
    const auto slot = std::find_if(waiting_.begin(), waiting_.end(),
                                   [](const entry& e) { return e.state == phase::free; });
    if (slot == waiting_.end()) return EAGAIN;
    offload::disk_request passed = request;
    passed.tag = static_cast<std::uint64_t>(slot - waiting_.begin());
    const int refused = disk_->submit(passed);
    if (refused != 0) return refused;
    clock::time_point& busy = busy_until_[request.way == offload::direction::read ? 0 : 1];
    const double rate = rates_[request.way == offload::direction::read ? 0 : 1];
    busy = std::max(busy, clock::now()) + std::chrono::nanoseconds(static_cast<std::int64_t>(
                                              1e9 * static_cast<double>(request.bytes) / rate));
    *slot = {phase::under_way, request.tag, 0, busy};
    return 0;
  }

  [[nodiscard]] std::size_t reap(span<offload::disk_result> results,
                                 clock::time_point until) override {
    for (;;) {
      collect();
      std::size_t count = 0;
      clock::time_point next = until;
      bool any = false;
      for (entry& e : waiting_) {
        any = any || e.state != phase::free;
        if (e.state == phase::moved && e.due <= clock::now() && count < results.size()) {
          results[count++] = {e.tag, e.value};
          e.state = phase::free;
        } else if (e.state != phase::free) {
          next = std::min(next, std::max(e.due, clock::now() + std::chrono::microseconds(20)));
        }
      }
      if (count > 0 || !any || until <= clock::now()) return count;
      std::this_thread::sleep_until(next);
    }
  }

  bool register_file(int file) override { return disk_->register_file(file); }
  void unregister_file(int file) noexcept override { disk_->unregister_file(file); }
  bool register_memory(void* memory, std::size_t bytes) override {
    return disk_->register_memory(memory, bytes);
  }
  void unregister_memory(void* memory) noexcept override { disk_->unregister_memory(memory); }
  [[nodiscard]] const std::string& note() const noexcept override { return disk_->note(); }

 private:
  enum class phase : unsigned char { free, under_way, moved };
  struct entry {
    phase state = phase::free;
    std::uint64_t tag = 0;
    std::int64_t value = 0;
    clock::time_point due;
  };

  void collect() {
    std::array<offload::disk_result, 16> done;
    for (;;) {
      const std::size_t count = disk_->reap(done, clock::now() - std::chrono::seconds(1));
      for (std::size_t i = 0; i < count; ++i) {
        entry& e = waiting_[done[i].tag];
        e.state = phase::moved;
        e.value = done[i].value;
      }
      if (count < done.size()) return;
    }
  }

  std::unique_ptr<offload::disk_engine> disk_;
  std::array<double, 2> rates_;
  std::array<clock::time_point, 2> busy_until_{};
  std::vector<entry> waiting_;
};

}  // namespace zero
