#include "step_walk.hpp"

#include <zero/base/error.hpp>
#include <zero/partition/communication_plan.hpp>
#include <zero/partition/cost_model.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <cmath>
#include <numeric>
#include <string>

namespace zero::partition {
namespace {

double over(double bytes, double ceiling) { return ceiling > 0 ? bytes / ceiling : 0; }

// Each direction where they share a disk, reading and writing so much in all.
double disk_seconds(double read, double written, const machine_ceilings& c) {
  if (c.disk_both > 0) {
    // Both until the shorter is done, then the rest alone; each gets half meanwhile.
    const double together = 2 * std::min(read, written);
    return together / c.disk_both + over(read - together / 2, c.disk_read) +
           over(written - together / 2, c.disk_written);
  }
  return std::max(over(read, c.disk_read), over(written, c.disk_written));
}

double seconds_of(const planned_operation& o, const machine_ceilings& c) {
  const double bus = static_cast<double>(o.bytes()) / o.ranks * (o.ranks - 1);
  return over(bus, o.kind() == collective::all_gather ? c.all_gather : c.reduce_scatter) +
         c.call_seconds;
}

void check(const memory_plan& plan, const compute_times& times, const machine_ceilings& c) {
  const std::size_t uses = plan.options().forward_order.size();
  if (times.forward.size() != uses || times.backward.size() != uses) {
    throw invalid_argument("[partition.cost_model] times of " +
                           std::to_string(times.forward.size()) + " forward and " +
                           std::to_string(times.backward.size()) + " backward uses of " +
                           std::to_string(uses));
  }
  std::vector<double> all{c.all_gather,   c.reduce_scatter, c.call_seconds,   c.device_memory,
                          c.host_memory,  c.host_to_device, c.device_to_host, c.disk_read,
                          c.disk_written, c.disk_both,      c.cell_seconds,   times.beside};
  all.insert(all.end(), times.forward.begin(), times.forward.end());
  all.insert(all.end(), times.backward.begin(), times.backward.end());
  for (const double value : all) {
    if (value >= 0 && std::isfinite(value)) continue;
    throw invalid_argument(
        "[partition.cost_model] ceilings and times must be 0 or more and finite");
  }
}

// Everything of one step, as the plans have it.
class step_cost {
 public:
  step_cost(const layout& of, const memory_plan& plan, const compute_times& times,
            const machine_ceilings& ceilings, int micro_batches)
      : of_(of),
        plan_(plan),
        times_(times),
        ceilings_(ceilings),
        micro_batches_(micro_batches),
        units_(of.model().units.size()) {
    take_communication();
    take_tiers();
    take_update();
    for (const auto& by_use : {times.forward, times.backward}) {
      busy(step_resource::compute) +=
          micro_batches * std::accumulate(by_use.begin(), by_use.end(), 0.0);
    }
    busy(step_resource::compute) += times.beside;
  }

  [[nodiscard]] step_estimate estimate() {
    result_.lower_bound = lower_bound();
    for (std::size_t i = 0; i < step_resource_count; ++i) {
      if (result_.busy[i] > busy(result_.bound_by)) result_.bound_by = step_resource(i);
    }
    const bool once = plan_.options().keep_gradients;
    const double passes =
        walk_passes(units_, times_, plan_.parameter_slots(), plan_.options().prefetch,
                    micro_batches_, once, ceilings_.one_processor);
    result_.estimate =
        std::max(passes + times_.beside + vote_ + update_ + publish_, result_.lower_bound);
    return result_;
  }

 private:
  double& busy(step_resource r) { return result_.busy[static_cast<std::size_t>(r)]; }

  void take_communication() {
    const communication_plan said = plan_communication(of_, plan_, micro_batches_);
    for (const planned_operation& o : said.operations) {
      const double each = seconds_of(o, ceilings_);
      busy(step_resource::communication) += each * static_cast<double>(o.times);
      if (o.bucket == no_bucket) {
        vote_ += each;
        continue;
      }
      unit_times& unit = units_[static_cast<std::size_t>(of_.buckets()[o.bucket].unit)];
      switch (o.what) {
        case transfer::gather:
          unit.gather += each;
          break;
        case transfer::gather_again:
          unit.gather_again += each;
          break;
        case transfer::reduce:
        case transfer::reduce_on:
          unit.reduce += each;
          break;
        case transfer::exchange:
        case transfer::publish:
        case transfer::vote:
          publish_ += each * static_cast<double>(o.times);
          break;
      }
    }
  }

  void take_tiers() {
    const tier_traffic_plan moved = plan_tier_traffic(of_, plan_, micro_batches_);
    const tier_bytes all = moved.step();
    const machine_ceilings& c = ceilings_;
    busy(step_resource::host_to_device) = over(double(all.host_to_device), c.host_to_device);
    busy(step_resource::device_to_host) = over(double(all.device_to_host), c.device_to_host);
    busy(step_resource::disk) = disk_seconds(double(all.disk_read), double(all.disk_written), c);
    spread(moved);
  }

  // What passes move, by unit: parameters go up ahead of a gather, gradients down after a
  // reduction, each in its share of elements.
  void spread(const tier_traffic_plan& moved) {
    std::vector<double> parameters(units_.size(), 0.0);
    std::vector<double> gradients(units_.size(), 0.0);
    for (const cell_tally& t : plan_.tallies()) {
      const bucket& b = of_.buckets()[t.each.bucket];
      const bucket_plan& p = plan_.buckets()[t.each.bucket];
      const auto elements = static_cast<double>(t.times * t.each.count);
      const auto unit = static_cast<std::size_t>(b.unit);
      if (p.parameter_tier != tier::device) parameters[unit] += elements * double(size_of(b.type));
      if (p.gradient_tier != tier::device) {
        gradients[unit] += elements * double(size_of(p.reduced_type));
      }
    }
    const double up = std::accumulate(parameters.begin(), parameters.end(), 0.0);
    const double down = std::accumulate(gradients.begin(), gradients.end(), 0.0);
    const machine_ceilings& c = ceilings_;
    const bool read = moved.gathers.disk_read > 0;
    const double times = micro_batches_;
    for (std::size_t unit = 0; unit < units_.size(); ++unit) {
      unit_times& t = units_[unit];
      if (up > 0) {
        t.fetch_up = over(parameters[unit], c.host_to_device);
        if (read) t.fetch_disk = over(parameters[unit], c.disk_read);
      }
      if (down == 0) continue;
      const double share = gradients[unit] / down / times;
      t.spill_down = share * over(double(moved.gradients.device_to_host), c.device_to_host);
      t.spill_disk = share * disk_seconds(double(moved.gradients.disk_read),
                                          double(moved.gradients.disk_written), c);
    }
  }

  // The cells one after the other, as many under way as there are blocks; what is not off the
  // device is done in one go.
  void take_update() {
    const update_traffic walked = plan_update_traffic(of_, plan_);
    const tier_bytes moved = plan_tier_traffic(of_, plan_, micro_batches_).updates;
    const machine_ceilings& c = ceilings_;
    const double cells = static_cast<double>(walked.cells_off);
    const double here = over(double(walked.device), c.device_memory);
    const double below = over(double(walked.host), c.host_memory) + cells * c.cell_seconds;
    busy(step_resource::update) = here + below;
    const double up = over(double(moved.host_to_device), c.host_to_device);
    const double down = over(double(moved.device_to_host), c.device_to_host);
    const double disk = disk_seconds(double(moved.disk_read), double(moved.disk_written), c);
    if (c.one_processor) {
      const double work = here + below + up + down;
      update_ = cells > 0 ? pipelined({work / cells, disk / cells}, cells) : work;
    } else if (cells > 0) {
      update_ =
          std::max(here, pipelined({down / cells, disk / cells, below / cells, up / cells}, cells));
    } else {
      update_ = here;
    }
  }

  [[nodiscard]] double lower_bound() {
    const auto of = [this](step_resource r) { return busy(r); };
    const double disk = of(step_resource::disk);
    if (ceilings_.one_processor) {
      const double all = std::accumulate(result_.busy.begin(), result_.busy.end(), 0.0);
      return std::max(all - disk, disk);
    }
    return *std::max_element(result_.busy.begin(), result_.busy.end());
  }

  const layout& of_;
  const memory_plan& plan_;
  const compute_times& times_;
  const machine_ceilings& ceilings_;
  int micro_batches_;
  std::vector<unit_times> units_;
  step_estimate result_;
  double vote_ = 0;
  double update_ = 0;
  double publish_ = 0;
};

}  // namespace

const char* name_of(step_resource r) noexcept {
  switch (r) {
    case step_resource::compute:
      return "compute";
    case step_resource::communication:
      return "communication";
    case step_resource::update:
      return "update";
    case step_resource::host_to_device:
      return "host_to_device";
    case step_resource::device_to_host:
      return "device_to_host";
    case step_resource::disk:
      return "disk";
  }
  return "unknown";
}

update_traffic plan_update_traffic(const layout& of, const memory_plan& plan) {
  update_traffic sum;
  for (const cell_tally& t : plan.tallies()) {
    const cell& c = t.each;
    const bucket& b = of.buckets()[c.bucket];
    const bucket_plan& p = plan.buckets()[c.bucket];
    if (!b.trainable) continue;
    const std::uint64_t gradient = 2 * c.count * size_of(p.reduced_type);
    const std::uint64_t parameter = c.count * size_of(b.type) * (c.master ? 1 : 2);
    const std::uint64_t bytes = 2 * plan.array_bytes(c) + gradient + parameter;
    (c.down ? sum.host : sum.device) += t.times * bytes;
    const bool off = c.down || p.gradient_tier != tier::device || p.parameter_tier != tier::device;
    if (off) sum.cells_off += t.times;
  }
  return sum;
}

step_estimate estimate_step(const layout& of, const memory_plan& plan, const compute_times& times,
                            const machine_ceilings& ceilings, int micro_batches) {
  check(plan, times, ceilings);
  return step_cost(of, plan, times, ceilings, micro_batches).estimate();
}

}  // namespace zero::partition
