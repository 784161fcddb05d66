#include "plan/verb_rates.hpp"

#include <algorithm>

namespace zero::cli {
namespace {

constexpr double least_part = 0.05;

double less(double whole, double part) { return std::max(whole - part, least_part * whole); }

double rate_of(double bytes, double seconds) { return seconds > 0 ? bytes / seconds : 0; }

double seconds_of(double bytes, double rate) { return rate > 0 ? bytes / rate : 0; }

// A world of one gathers and reduces nothing, but takes its norm meanwhile.
void take_from_memory(const verb_trial& t, measured_machine& found) {
  const double call = found.call_seconds;
  double update = t.took.step;
  if (t.gathered > 0) {
    found.all_gather = rate_of(t.gathered, less(t.took.forward, t.gathers * call));
    const double again = t.took.forward * t.gathered_again / t.gathered;
    found.reduce_scatter = rate_of(t.reduced, less(t.took.backward, again + t.reduces * call));
    update = less(update, call);
  } else {
    update += t.took.forward + t.took.backward;
  }
  found.memory_update = rate_of(double(t.updated.device), update);
}

// What is brought up in a forward and goes down in a backward, beyond what there is in memory.
step_parts beyond(const verb_trial& t, const verb_trial& memory) {
  step_parts more;
  more.forward = less(t.took.forward, memory.took.forward);
  const double again = more.forward * (1 - t.forward_share) / t.forward_share;
  more.backward = less(t.took.backward, memory.took.backward + again);
  more.step = t.took.step;
  return more;
}

void take_from_host(const verb_trial& t, const verb_trial& memory, measured_machine& found) {
  const step_parts more = beyond(t, memory);
  const partition::tier_traffic_plan& m = t.moved;
  found.host_to_device = rate_of(double(m.gathers.host_to_device) * t.forward_share, more.forward);
  found.device_to_host = rate_of(double(m.gradients.device_to_host), more.backward);
  const double crossing = seconds_of(double(m.updates.host_to_device), found.host_to_device) +
                          seconds_of(double(m.updates.device_to_host), found.device_to_host);
  found.host_update =
      rate_of(double(t.updated.host), less(more.step, found.call_seconds + crossing));
}

void take_from_disk(const verb_trials& all, measured_machine& found) {
  const verb_trial& t = all.disk;
  const step_parts more = beyond(t, all.memory);
  const step_parts copies = beyond(all.host, all.memory);
  const partition::tier_traffic_plan& m = t.moved;
  found.disk_read =
      rate_of(double(m.gathers.disk_read) * t.forward_share, less(more.forward, copies.forward));
  found.disk_written =
      rate_of(double(m.gradients.disk_written), less(more.backward, copies.backward));
  // Both until the shorter is done, then the rest alone.
  const double read = double(m.updates.disk_read);
  const double written = double(m.updates.disk_written);
  const double both = std::min(read, written);
  const double alone =
      seconds_of(read - both, found.disk_read) + seconds_of(written - both, found.disk_written);
  found.disk_both = rate_of(2 * both, less(t.took.step, found.call_seconds + alone));
}

}  // namespace

void take_rates(const verb_trials& all, measured_machine& found) {
  take_from_memory(all.memory, found);
  take_from_host(all.host, all.memory, found);
  if (all.disk.took.step > 0) take_from_disk(all, found);
}

}  // namespace zero::cli
