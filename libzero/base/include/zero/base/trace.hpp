#pragma once
// Trace events: which verb ran on which lane for which unit, from when to when.
//
// trace_recorder is thread-safe and allocates only at construction: events past its capacity are
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

class trace_recorder {
 public:
  explicit trace_recorder(std::size_t capacity) : events_(capacity) {}

  void record(const trace_event& event) noexcept;

  // Events recorded so far, in the order they ended. Only when nothing records.
  [[nodiscard]] std::vector<trace_event> events() const;
  [[nodiscard]] std::size_t dropped() const noexcept;

 private:
  std::vector<trace_event> events_;
  std::atomic<std::size_t> next_{0};
};

}  // namespace zero
#pragma GCC visibility pop
