#pragma once
// Trace events: which verb ran on which lane for which unit, from when to when; and how much of
// the memory that is set aside for what comes and goes was in use at which time.
//
// trace_recorder is thread-safe and allocates only at construction: what is past its capacity is
// counted and dropped, never grown into.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#pragma GCC visibility push(default)
namespace zero {

// The role of a stream.
enum class lane : unsigned char { compute, communication, copy_in, copy_out };

[[nodiscard]] const char* name_of(lane l) noexcept;

// Nanoseconds of the monotonic clock: one epoch for every process of a host.
[[nodiscard]] inline std::int64_t trace_clock() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct trace_event {
  const char* name = "";  // a verb; static storage
  lane where = lane::compute;
  int unit = -1;           // -1: of no unit
  std::int64_t begin = 0;  // trace_clock()
  std::int64_t end = 0;
};

// From `at` until the next one.
struct memory_sample {
  std::int64_t at = 0;         // trace_clock()
  std::uint64_t in_use = 0;    // bytes
  std::uint64_t reserved = 0;  // bytes that could be
};

class trace_recorder {
 public:
  // Room for as many events, and for as many samples.
  explicit trace_recorder(std::size_t capacity) : events_(capacity), samples_(capacity) {}

  void record(const trace_event& event) noexcept;
  void record(const memory_sample& sample) noexcept;

  // Whether what comes is recorded, which it is at first; what does not is not counted either.
  void set_recording(bool on) noexcept { recording_.store(on, std::memory_order_relaxed); }

  // Events recorded so far, in the order they ended. Only when nothing records.
  [[nodiscard]] std::vector<trace_event> events() const;
  // Samples recorded so far, in the order they came. Only when nothing records.
  [[nodiscard]] std::vector<memory_sample> samples() const;
  // Events and samples.
  [[nodiscard]] std::size_t dropped() const noexcept;

 private:
  std::vector<trace_event> events_;
  std::vector<memory_sample> samples_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> next_sample_{0};
  std::atomic<bool> recording_{true};
};

}  // namespace zero
#pragma GCC visibility pop
