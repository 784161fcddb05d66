#include <zero/base/trace.hpp>

#include <algorithm>
#include <cstddef>

namespace zero {

const char* name_of(lane l) noexcept {
  switch (l) {
    case lane::compute:
      return "compute";
    case lane::communication:
      return "communication";
    case lane::copy_in:
      return "copy in";
    case lane::copy_out:
      return "copy out";
  }
  return "unknown";
}

namespace {

template <typename T>
void put(std::vector<T>& places, std::atomic<std::size_t>& next, const T& value) noexcept {
  const std::size_t index = next.fetch_add(1, std::memory_order_relaxed);
  if (index < places.size()) places[index] = value;
}

template <typename T>
std::vector<T> taken(const std::vector<T>& places, std::size_t next) {
  const auto count = static_cast<std::ptrdiff_t>(std::min(next, places.size()));
  return {places.begin(), places.begin() + count};
}

}  // namespace

void trace_recorder::record(const trace_event& event) noexcept {
  if (recording_.load(std::memory_order_relaxed)) put(events_, next_, event);
}

void trace_recorder::record(const memory_sample& sample) noexcept {
  if (recording_.load(std::memory_order_relaxed)) put(samples_, next_sample_, sample);
}

std::vector<trace_event> trace_recorder::events() const { return taken(events_, next_.load()); }

std::vector<memory_sample> trace_recorder::samples() const {
  return taken(samples_, next_sample_.load());
}

std::size_t trace_recorder::dropped() const noexcept {
  const auto beyond = [](std::size_t recorded, std::size_t places) {
    return recorded > places ? recorded - places : 0;
  };
  return beyond(next_.load(), events_.size()) + beyond(next_sample_.load(), samples_.size());
}

}  // namespace zero
