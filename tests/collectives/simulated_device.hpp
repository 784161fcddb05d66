#pragma once
// A device of threads for the backends whose ranks are lanes on devices: each stream is a thread
// that works later, in order, after pauses of random length; memory that the host cannot touch.
//
// Device pointers are host pointers with a bit set that no address has: whoever reads them on the
// host, or uses memory after it was freed, is ended by a signal.

#include "device/queue.hpp"
#include "sum.hpp"
#include "support/queued_device.hpp"

#include <zero/base/error.hpp>
#include <zero/base/memory_resource.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {

inline constexpr std::uintptr_t device_bit = std::uintptr_t{1} << 62;

inline bool is_device(const void* at) {
  return (reinterpret_cast<std::uintptr_t>(at) & device_bit) != 0;
}
template <typename T>
T* host_address(T* at) {
  return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(at) & ~device_bit);
}

class simulated_memory final : public memory_resource {
 public:
  [[nodiscard]] void* allocate(std::size_t bytes) override {
    void* const block = pages_.allocate(bytes);
    return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(block) | device_bit);
  }
  void deallocate(void* block, std::size_t bytes) noexcept override {
    pages_.deallocate(host_address(block), bytes);
  }
  [[nodiscard]] memory_place place() const noexcept override { return memory_place::device; }

 private:
  page_resource pages_;
};

// Copies at once; nothing queued may use the memory.
inline void copy_simulated(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(host_address(to), host_address(from), bytes);
}

class simulated_events final : public collectives::event_ring {
 public:
  explicit simulated_events(std::size_t slots) : marks_(slots) {}
  void record(std::size_t slot, stream& on) override {
    const std::lock_guard lock(mutex_);
    marks_[slot] = on.record();
  }
  void order(std::size_t slot, stream& later) override { later.wait(mark(slot)); }
  [[nodiscard]] bool done(std::size_t slot) override {
    const completion last = mark(slot);
    if (!last.ready()) return false;
    last.wait();
    return true;
  }

 private:
  [[nodiscard]] completion mark(std::size_t slot) {
    const std::lock_guard lock(mutex_);
    return marks_[slot];
  }
  std::mutex mutex_;
  std::vector<completion> marks_;
};

// Streams outlive the ranks, as a device's events do.
class simulated_device {
 public:
  explicit simulated_device(int longest_pause_us = 0) : pause_(longest_pause_us) {}
  simulated_device(const simulated_device&) = delete;
  simulated_device& operator=(const simulated_device&) = delete;
  // Streams wait for each other: all are done before one of them goes.
  ~simulated_device() {
    for (const auto& each : streams_) {
      try {
        each->record().wait();
      } catch (...) {
        continue;  // it has stopped, which is as good
      }
    }
  }

  [[nodiscard]] std::shared_ptr<queued_stream> make_stream() {
    const std::lock_guard lock(mutex_);
    streams_.push_back(std::make_shared<queued_stream>(streams_.size() + 1, pause_));
    return streams_.back();
  }
  [[nodiscard]] std::unique_ptr<collectives::device_queue> make_queue();
  simulated_memory& memory() { return memory_; }

 private:
  simulated_memory memory_;
  int pause_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<queued_stream>> streams_;
};

// A lane of the device as a client sees one: completions of devices are waited for by the stream,
// those of the host before the call returns.
class simulated_stream final : public stream {
 public:
  explicit simulated_stream(queued_stream& work) : work_(work) {}
  [[nodiscard]] completion record() override { return work_.record(); }
  [[nodiscard]] void* native() const noexcept override { return &work_; }

 private:
  queued_stream& work_;
};

class simulated_queue final : public collectives::device_queue {
 public:
  explicit simulated_queue(simulated_device& device)
      : device_(device), work_(device.make_stream()), lane_(*work_) {}

  [[nodiscard]] stream& lane() noexcept override { return lane_; }
  [[nodiscard]] queued_stream& work() noexcept { return *work_; }

  std::function<void()> before_sum;  // work that goes before every sum; set while nothing is queued
  [[nodiscard]] memory_resource& memory() noexcept override { return device_.memory(); }
  [[nodiscard]] bool reaches(const void* first, std::uint64_t) const noexcept override {
    return is_device(first);
  }
  [[nodiscard]] std::unique_ptr<collectives::event_ring> make_events(std::size_t slots) override {
    return std::make_unique<simulated_events>(slots);
  }
  void copy(void* to, const void* from, std::uint64_t bytes) override {
    work_->run([=] { copy_simulated(to, from, bytes); });
    // As copies of pageable memory do.
    if (!is_device(to) || !is_device(from)) work_->record().wait();
  }
  void sum(const void* const* from, std::size_t sources, dtype in, void* out, dtype out_type,
           std::size_t count, collectives::write_mode mode) override {
    if (sources < 1 || sources > collectives::most_sources || !is_device(out)) {
      throw invalid_argument("a sum that a device cannot do");
    }
    std::vector<const void*> real;
    for (std::size_t i = 0; i < sources; ++i) {
      if (!is_device(from[i])) throw invalid_argument("a source that a device cannot read");
      real.push_back(host_address(from[i]));
    }
    if (before_sum) work_->run(before_sum);
    work_->run([=] {
      collectives::sum(real.data(), sources, in, host_address(out), out_type, count, mode);
    });
  }

 private:
  simulated_device& device_;
  std::shared_ptr<queued_stream> work_;
  simulated_stream lane_;
};

inline std::unique_ptr<collectives::device_queue> simulated_device::make_queue() {
  return std::make_unique<simulated_queue>(*this);
}

}  // namespace zero::testing
