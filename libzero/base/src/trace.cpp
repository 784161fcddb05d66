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

void trace_recorder::record(const trace_event& event) noexcept {
  const std::size_t index = next_.fetch_add(1, std::memory_order_relaxed);
  if (index < events_.size()) events_[index] = event;
}

std::vector<trace_event> trace_recorder::events() const {
  const auto count = static_cast<std::ptrdiff_t>(std::min(next_.load(), events_.size()));
  return {events_.begin(), events_.begin() + count};
}

std::size_t trace_recorder::dropped() const noexcept {
  const std::size_t recorded = next_.load();
  return recorded > events_.size() ? recorded - events_.size() : 0;
}

}  // namespace zero
