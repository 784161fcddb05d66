#pragma once
// verb_timer: a verb while it runs, in the rank's clocks, its trace and a profiler's ranges.

#include "state.hpp"

#include <zero/base/range_marker.hpp>

#include <utility>

namespace zero {

// Adds the time from construction to destruction, but for what other timers take meanwhile, to a
// verb, and names it to profilers.
class verb_timer {
 public:
  verb_timer(sharded_optimizer::state& owner, phase where, int unit) noexcept
      : owner_(owner),
        where_(where),
        unit_(unit),
        marker_(name_of(where)),
        outer_(std::exchange(owner.nested, &inner_)),
        begin_(trace_clock()) {}
  verb_timer(const verb_timer&) = delete;
  verb_timer& operator=(const verb_timer&) = delete;
  ~verb_timer() {
    const std::int64_t all = owner_.note(where_, unit_, begin_, inner_);
    owner_.nested = outer_;
    if (outer_ != nullptr) *outer_ += all;
  }

 private:
  sharded_optimizer::state& owner_;
  phase where_;
  int unit_;
  range_marker marker_;
  std::int64_t inner_ = 0;  // nanoseconds of timers within
  std::int64_t* outer_;     // that of the timer this is within
  std::int64_t begin_;
};

}  // namespace zero
