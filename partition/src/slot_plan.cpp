#include <zero/partition/slot_plan.hpp>

#include <algorithm>
#include <limits>
#include <numeric>

namespace zero::partition {
namespace {

// Gives out slots; a free slot that needs the least growth first, then the smallest.
class assigner {
 public:
  std::size_t take(std::uint64_t bytes) {
    std::size_t best = no_slot;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (busy_[i]) continue;
      if (best == no_slot || better(slots_[i], slots_[best], bytes)) best = i;
    }
    if (best == no_slot) {
      best = slots_.size();
      slots_.push_back(0);
      busy_.push_back(false);
    }
    slots_[best] = std::max(slots_[best], bytes);
    busy_[best] = true;
    return best;
  }
  void free(std::size_t slot) { busy_[slot] = false; }
  [[nodiscard]] std::vector<std::uint64_t> sizes() && { return std::move(slots_); }

 private:
  static bool better(std::uint64_t a, std::uint64_t b, std::uint64_t bytes) {
    const std::uint64_t growth_a = bytes > a ? bytes - a : 0;
    const std::uint64_t growth_b = bytes > b ? bytes - b : 0;
    return growth_a != growth_b ? growth_a < growth_b : a < b;
  }
  std::vector<std::uint64_t> slots_;
  std::vector<bool> busy_;
};

constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

// A slot is needed over the uses [begin, end).
struct interval {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::uint64_t bytes = 0;
};

// Assigns slots to intervals in order of their beginning; one that ends at t is free again at t.
slot_plan assign(span<const int> order, const std::vector<interval>& intervals,
                 const std::vector<std::size_t>& interval_of_use) {
  slot_plan plan;
  std::vector<std::size_t> slot(intervals.size(), no_slot);
  std::vector<std::size_t> live;
  assigner slots;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    std::erase_if(live, [&](std::size_t other) {
      const bool over = intervals[other].end <= intervals[i].begin;
      if (over) slots.free(slot[other]);
      return over;
    });
    slot[i] = slots.take(intervals[i].bytes);
    live.push_back(i);
  }
  for (std::size_t use = 0; use < order.size(); ++use) {
    const std::size_t in = interval_of_use[use];
    plan.uses.push_back({order[use], in == never ? no_slot : slot[in]});
  }
  plan.slot_bytes = std::move(slots).sizes();
  return plan;
}

}  // namespace

std::uint64_t slot_plan::total_bytes() const noexcept {
  return std::accumulate(slot_bytes.begin(), slot_bytes.end(), std::uint64_t{0});
}

slot_plan plan_gathers(span<const int> order, span<const std::uint64_t> bytes, int ahead) {
  // Use i begins to need its slot when use i - ahead begins.
  const auto lead = static_cast<std::size_t>(ahead);
  std::vector<interval> intervals;
  std::vector<std::size_t> interval_of_use(order.size(), never);
  std::vector<std::size_t> last(bytes.size(), never);  // the unit's latest interval
  for (std::size_t use = 0; use < order.size(); ++use) {
    const auto unit = static_cast<std::size_t>(order[use]);
    if (bytes[unit] == 0) continue;
    const std::size_t begin = use > lead ? use - lead : 0;
    if (last[unit] != never && intervals[last[unit]].end >= begin) {
      intervals[last[unit]].end = use + 1;  // still there
    } else {
      last[unit] = intervals.size();
      intervals.push_back({begin, use + 1, bytes[unit]});
    }
    interval_of_use[use] = last[unit];
  }
  return assign(order, intervals, interval_of_use);
}

slot_plan plan_spans(span<const int> order, span<const std::uint64_t> bytes, int linger) {
  std::vector<interval> intervals;
  std::vector<std::size_t> interval_of_use(order.size(), never);
  std::vector<std::size_t> of_unit(bytes.size(), never);
  for (std::size_t use = 0; use < order.size(); ++use) {
    const auto unit = static_cast<std::size_t>(order[use]);
    if (bytes[unit] == 0) continue;
    if (of_unit[unit] == never) {
      of_unit[unit] = intervals.size();
      intervals.push_back({use, 0, bytes[unit]});
    }
    intervals[of_unit[unit]].end = use + 1 + static_cast<std::size_t>(linger);
    interval_of_use[use] = of_unit[unit];
  }
  return assign(order, intervals, interval_of_use);
}

}  // namespace zero::partition
