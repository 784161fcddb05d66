#include "step_walk.hpp"

namespace zero::partition {
namespace {

// When each lane is free. On one processor all but the disk are one.
class lanes {
 public:
  enum lane : unsigned char { compute, communication, up, down, disk };

  explicit lanes(bool one_processor) : one_(one_processor) {}

  // Work of `seconds` that may begin at `after`; returns when it ends.
  double run(lane on, double after, double seconds) {
    if (seconds == 0) return after;
    double& free = free_[one_ && on != disk ? compute : on];
    free = std::max(free, after) + seconds;
    return free;
  }
  [[nodiscard]] double last() const { return *std::max_element(free_.begin(), free_.end()); }

 private:
  bool one_;
  std::array<double, 5> free_{};
};

class walk {
 public:
  walk(const std::vector<unit_times>& units, const slot_plan& slots, bool one_processor)
      : units_(units),
        slots_(slots),
        lanes_(one_processor),
        in_slot_(slots.slot_bytes.size(), units.size()),
        gathered_(units.size(), false),
        ready_(units.size(), 0.0) {}

  // Queues what brings the unit of a use, not before `now`.
  void fetch(std::size_t use, double now) {
    const slot_use& u = slots_.uses[use % slots_.uses.size()];
    const auto unit = static_cast<std::size_t>(u.unit);
    if (u.slot == no_slot || (in_slot_[u.slot] == unit && !slots_.forgets)) return;
    in_slot_[u.slot] = unit;
    const unit_times& t = units_[unit];
    const double read = lanes_.run(lanes::disk, now, t.fetch_disk);
    const double there = lanes_.run(lanes::up, read, t.fetch_up);
    const bool again = gathered_[unit] && t.gather_again > 0;
    gathered_[unit] = true;
    ready_[unit] = lanes_.run(lanes::communication, there, again ? t.gather_again : t.gather);
  }

  double compute(std::size_t use, double seconds) {
    const auto unit = static_cast<std::size_t>(slots_.uses[use % slots_.uses.size()].unit);
    const double begin = std::max(now_, ready_[unit]);
    now_ = std::max(begin, lanes_.run(lanes::compute, begin, seconds));
    return now_;
  }

  void reduce(std::size_t unit) {
    const unit_times& t = units_[unit];
    const double reduced = lanes_.run(lanes::communication, now_, t.reduce);
    const double down = lanes_.run(lanes::down, reduced, t.spill_down);
    lanes_.run(lanes::disk, down, t.spill_disk);
  }

  [[nodiscard]] double now() const { return now_; }
  [[nodiscard]] double end() const { return std::max(now_, lanes_.last()); }

 private:
  const std::vector<unit_times>& units_;
  const slot_plan& slots_;
  lanes lanes_;
  std::vector<std::size_t> in_slot_;
  std::vector<bool> gathered_;
  std::vector<double> ready_;
  double now_ = 0;
};

}  // namespace

double walk_passes(const std::vector<unit_times>& units, const compute_times& times,
                   const slot_plan& slots, int depth, int micro_batches, bool reduce_once,
                   bool one_processor) {
  const std::size_t pass = slots.uses.size();  // a forward and a backward
  const std::size_t half = pass / 2;
  const std::size_t all = pass * static_cast<std::size_t>(micro_batches);
  // The unit's last use of a backward is where its gradient is final.
  std::vector<std::size_t> last(units.size(), pass);
  for (std::size_t use = half; use < pass; ++use) {
    last[static_cast<std::size_t>(slots.uses[use].unit)] = use;
  }
  walk step(units, slots, one_processor);
  const auto ahead = static_cast<std::size_t>(depth);
  std::size_t queued = 0;
  for (std::size_t use = 0; use < all; ++use) {
    for (; queued < all && queued <= use + ahead; ++queued) step.fetch(queued, step.now());
    const std::size_t at = use % pass;
    step.compute(use, at < half ? times.forward[at] : times.backward[pass - 1 - at]);
    const auto unit = static_cast<std::size_t>(slots.uses[at].unit);
    const bool counts = !reduce_once || use / pass + 1 == static_cast<std::size_t>(micro_batches);
    if (last[unit] == at && counts) step.reduce(unit);
  }
  return step.end();
}

}  // namespace zero::partition
