// What the engine's own verbs take when nobody computes: a model of blocks like those planned, at
// stage 3 in memory, with its state in host memory, and with its state on disk. Larger than the
// caches of all ranks together, since what is between two visits of the same bytes in a training
// is.

#include "plan/calibration_trials.hpp"
#include "plan/verb_rates.hpp"
#include "train/tier_choice.hpp"
#include "trainer/gpt_model.hpp"

#include <zero/base/bytes.hpp>
#include <zero/base/error.hpp>
#include <zero/engine/planned_rank.hpp>
#include <zero/engine/sharded_optimizer.hpp>
#include <zero/offload/swap_file.hpp>
#include <zero/partition/communication_plan.hpp>
#include <zero/partition/cost_model.hpp>
#include <zero/partition/tier_traffic.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
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

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

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

// Medians.
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

// What a rank moves in a step of such a training.
verb_trial plan_trial(const partition::model_spec& model, const engine_options& engine, int ranks) {
  const planned_rank plan = plan_rank(model, engine, ranks);
  verb_trial t;
  for (const partition::planned_operation& op :
       partition::plan_communication(plan.layout, plan.memory, 1).operations) {
    const double bus = static_cast<double>(op.bytes()) / op.ranks * (op.ranks - 1);
    if (op.what == partition::transfer::gather) {
      t.gathered += bus;
      t.gathered_again += bus * static_cast<double>(op.times - 1);
      ++t.gathers;
    } else if (op.what == partition::transfer::reduce) {
      t.reduced += bus;
      ++t.reduces;
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
  return t;
}

class trials {
 public:
  trials(const train_options& options, rank_place& place, optim::processor& work)
      : options_(options),
        ranks_(*place.ranks),
        work_(work),
        config_(large_model(options.training)),
        model_(trainer::model_of(config_, options.training.dtype)) {}

  verb_trial with(offload_tier tier) {
    const engine_options engine = engine_of_trial(options_, config_, tier, ranks_.size());
    verb_trial t = plan_trial(model_, engine, ranks_.size());
    t.took = time_steps(model_, engine, ranks_, work_);
    return t;
  }

  // Whether every rank has room on the disk. Collective.
  bool disk_has_room() {
    const engine_options engine =
        engine_of_trial(options_, config_, offload_tier::nvme, ranks_.size());
    const std::uint64_t bytes = plan_rank(model_, engine, ranks_.size())
                                    .memory.bytes()[static_cast<std::size_t>(memory_account::disk)];
    unsigned char own = 1;
    std::vector<unsigned char> all(static_cast<std::size_t>(ranks_.size()));
    std::optional<offload::swap_file> file;  // until all have theirs
    try {
      file.emplace(options_.training.nvme_path);
      file->reserve(bytes);
    } catch (const error&) {
      own = 0;
    }
    collectives::call how;
    how.name = "room";
    ranks_.all_gather({&own, 1, dtype::byte}, {all.data(), all.size(), dtype::byte}, how).wait();
    return std::all_of(all.begin(), all.end(), [](unsigned char room) { return room == 1; });
  }

 private:
  const train_options& options_;
  collectives::communicator& ranks_;
  optim::processor& work_;
  trainer::gpt_config config_;
  partition::model_spec model_;
};

}  // namespace

void measure_verbs(const train_options& options, rank_place& place, optim::processor& work,
                   measured_machine& found) {
  trials trying(options, place, work);
  verb_trials all;
  all.memory = trying.with(offload_tier::none);
  all.host = trying.with(offload_tier::cpu);
  if (trying.disk_has_room()) all.disk = trying.with(offload_tier::nvme);
  take_rates(all, found);
}

}  // namespace zero::cli
