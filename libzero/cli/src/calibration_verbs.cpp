// What the engine's own verbs take when nobody computes: a model of blocks like those planned, at
// stage 3 in memory, with its state in host memory, and with its state on disk. Larger than the
// caches of all ranks together, since what is between two visits of the same bytes in a training
// is.

#include "calibration_trials.hpp"
#include "tier_choice.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/base/bytes.hpp>
#include <zero/engine/planned_rank.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/partition/communication_plan.hpp>
#include <zero/partition/cost_model.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <cstring>
#include <memory>
#include <vector>

namespace zero::cli {
namespace {

// Of all ranks together, three times a large last level of cache.
constexpr std::uint64_t least_footprint = 96_MiB;
constexpr int most_blocks = 16;
constexpr int most_vocabulary = 4096;
constexpr int warming_steps = 2;
constexpr int counted_steps = 7;
// A gradient of no zeros and no subnormals, whatever its dtype.
constexpr int gradient_byte = 0x3A;
// What a difference of two times is at least, of the longer.
constexpr double least_part = 0.05;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double less(double whole, double part) { return std::max(whole - part, least_part * whole); }

double over(double bytes, double seconds) { return seconds > 0 ? bytes / seconds : 0; }

trainer::gpt_config large_model(const common_options& o) {
  trainer::gpt_config config = chosen_model(o);
  config.vocabulary = std::min(config.vocabulary, most_vocabulary);
  std::uint64_t block = 0;
  for (const std::uint64_t each : trainer::block_sizes(config)) block += 16 * each;
  const std::uint64_t blocks = (least_footprint + block - 1) / block;
  config.layers = static_cast<int>(std::min<std::uint64_t>(blocks, most_blocks));
  return config;
}

// Units so that the last of a backward is the last norm, which is soon reduced: what a step waits
// for then is its own.
std::vector<int> order_of_trial(const trainer::gpt_config& config) {
  std::vector<int> order{config.layers + 1};
  for (int layer = 1; layer <= config.layers; ++layer) order.push_back(layer);
  order.push_back(0);
  return order;
}

engine_options engine_of_trial(const train_options& options, const trainer::gpt_config& config,
                               offload_tier tier, int ranks) {
  train_options way = options;
  way.stage = "3";
  way.offload_optimizer = way.offload_gradients = way.offload_parameters = std::nullopt;
  way.offload_ratio = std::nullopt;
  way.memory_budget = std::nullopt;
  way.settled = std::nullopt;
  way.training.shard_group = std::nullopt;
  way.training.quantize_gather = way.training.quantize_reduce = 0;
  way.training.accumulate = 1;
  way.training.prefetch = 0;  // so that what is gathered is waited for
  way.training.resident_bytes = 0;
  offload_all(way, tier, ranks);
  engine_options engine = engine_options_of(way);
  engine.forward_order = order_of_trial(config);
  return engine;
}

// Seconds of a step's parts, medians.
struct step_parts {
  double forward = 0;   // parameters are gathered
  double backward = 0;  // gathered but for the first unit, and gradients reduced
  double step = 0;      // the vote and the update
};

step_parts time_steps(const partition::model_spec& model, const engine_options& engine,
                      collectives::communicator& ranks, optim::processor& work) {
  using clock = std::chrono::steady_clock;
  sharded_optimizer optimizer(ranks, work, model, engine);
  optimizer.initialize([](std::size_t, std::uint64_t offset, span<float> out) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<float>((offset + i) % 1021) * 1e-4F + 1e-3F;
    }
  });
  std::vector<double> forward;
  std::vector<double> backward;
  std::vector<double> step;
  const std::vector<int>& order = engine.forward_order;
  const auto until_now = [](clock::time_point& since) {
    const clock::time_point now = clock::now();
    const double seconds = std::chrono::duration<double>(now - since).count();
    since = now;
    return seconds;
  };
  for (int i = 0; i < warming_steps + counted_steps; ++i) {
    ranks.barrier().wait();
    clock::time_point since = clock::now();
    optimizer.begin_micro_batch();
    for (const int unit : order) (void)optimizer.gather(unit);
    forward.push_back(until_now(since));
    for (auto unit = order.rbegin(); unit != order.rend(); ++unit) {
      {
        const gathered_unit held = optimizer.gather(*unit);
        const unit_gradients taken = optimizer.gradients(*unit);
        const std::size_t parameters =
            model.units[static_cast<std::size_t>(*unit)].parameters.size();
        for (std::size_t p = 0; p < parameters; ++p) {
          const typed_span gradient = taken.gradient(p);
          if (i == 0) std::memset(gradient.data, gradient_byte, gradient.bytes());
        }
      }
      optimizer.reduce(*unit);
    }
    backward.push_back(until_now(since));
    (void)optimizer.step(1e-6F);
    step.push_back(until_now(since));
    if (i + 1 != warming_steps) continue;
    for (auto* const each : {&forward, &backward, &step}) each->clear();
  }
  return {median(forward), median(backward), median(step)};
}

// Of one way to keep the state: what it moves, and how long that takes.
struct trial {
  step_parts took;
  partition::tier_traffic_plan moved;
  partition::update_traffic updated;
  double gathered = 0;        // over the bus, in a forward
  double gathered_again = 0;  // in a backward
  double reduced = 0;
  double gathers = 0;  // calls
  double reduces = 0;
  // The share of elements that are gathered in a forward, of all times that they are.
  double forward_share = 1;
};

trial try_out(const train_options& options, offload_tier tier, rank_place& place,
              optim::processor& work) {
  const common_options& o = options.training;
  collectives::communicator& ranks = *place.ranks;
  const trainer::gpt_config config = large_model(o);
  const partition::model_spec model = trainer::model_of(config, o.dtype);
  const engine_options engine = engine_of_trial(options, config, tier, ranks.size());
  const planned_rank plan = plan_rank(model, engine, ranks.size());
  trial t;
  for (const partition::planned_operation& op :
       partition::plan_communication(plan.layout, plan.memory, 1).operations) {
    const double bus = static_cast<double>(op.bytes()) / op.ranks * (op.ranks - 1);
    if (op.what == partition::transfer::gather) {
      t.gathered += bus;
      t.gathered_again += bus * static_cast<double>(op.times - 1);
      t.gathers += 1;
    } else if (op.what == partition::transfer::reduce) {
      t.reduced += bus;
      t.reduces += 1;
    }
  }
  t.moved = partition::plan_tier_traffic(plan.layout, plan.memory, 1);
  t.updated = partition::plan_update_traffic(plan.layout, plan.memory);
  // The unit that turns the pass is still there.
  std::uint64_t all = 0;
  std::uint64_t turning = 0;
  for (const partition::bucket& b : plan.layout.buckets()) {
    all += b.padded;
    if (b.unit == engine.forward_order.back()) turning += b.padded;
  }
  t.forward_share = static_cast<double>(all) / static_cast<double>(2 * all - turning);
  t.took = time_steps(model, engine, ranks, work);
  return t;
}

void take_from_memory(const trial& t, measured_machine& found) {
  const double calls = found.call_seconds;
  const bool alone = t.gathered == 0;
  double update = t.took.step;
  if (alone) {
    update += t.took.forward + t.took.backward;
  } else {
    const double gather = less(t.took.forward, t.gathers * calls);
    found.all_gather = over(t.gathered, gather);
    const double again = t.took.forward * t.gathered_again / t.gathered;
    found.reduce_scatter = over(t.reduced, less(t.took.backward, again + t.reduces * calls));
    update = less(update, calls);
  }
  found.memory_update = over(static_cast<double>(t.updated.device), update);
}

// Beyond what it takes in memory.
step_parts beyond(const trial& t, const trial& in_memory) {
  step_parts more;
  const double again = (1 - t.forward_share) / t.forward_share;
  more.forward = less(t.took.forward, in_memory.took.forward);
  more.backward = less(t.took.backward, in_memory.took.backward + again * more.forward);
  more.step = t.took.step;
  return more;
}

void take_from_host(const trial& t, const trial& in_memory, measured_machine& found) {
  const step_parts more = beyond(t, in_memory);
  found.host_to_device =
      over(static_cast<double>(t.moved.gathers.host_to_device) * t.forward_share, more.forward);
  found.device_to_host = over(static_cast<double>(t.moved.gradients.device_to_host), more.backward);
  const auto seconds = [](std::uint64_t bytes, double rate) {
    return rate > 0 ? static_cast<double>(bytes) / rate : 0;
  };
  const double crossing = seconds(t.moved.updates.host_to_device, found.host_to_device) +
                          seconds(t.moved.updates.device_to_host, found.device_to_host);
  found.host_update =
      over(static_cast<double>(t.updated.host), less(more.step, found.call_seconds + crossing));
}

void take_from_disk(const trial& t, const trial& in_memory, const trial& host,
                    measured_machine& found) {
  const step_parts more = beyond(t, in_memory);
  const step_parts copies = beyond(host, in_memory);
  found.disk_read = over(static_cast<double>(t.moved.gathers.disk_read) * t.forward_share,
                         less(more.forward, copies.forward));
  found.disk_written = over(static_cast<double>(t.moved.gradients.disk_written),
                            less(more.backward, copies.backward));
  // Both until the shorter is done, then the rest alone.
  const auto read = static_cast<double>(t.moved.updates.disk_read);
  const auto written = static_cast<double>(t.moved.updates.disk_written);
  const double both = std::min(read, written);
  const double rest = (read - both) / found.disk_read + (written - both) / found.disk_written;
  found.disk_both = over(2 * both, less(t.took.step, rest));
}

}  // namespace

void measure_verbs(const train_options& options, rank_place& place, optim::processor& work,
                   measured_machine& found) {
  const trial memory = try_out(options, offload_tier::none, place, work);
  take_from_memory(memory, found);
  const trial host = try_out(options, offload_tier::cpu, place, work);
  take_from_host(host, memory, found);
  const trial disk = try_out(options, offload_tier::nvme, place, work);
  take_from_disk(disk, memory, host, found);
}

}  // namespace zero::cli
