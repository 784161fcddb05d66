// Random programs of calls, as odd as the interface allows, on a model with parameters of two
// types, frozen, tied, empty and resident ones: wherever state rests, everything that a client sees
// on the way is the same, bit for bit.

#include "engine/toy_client.hpp"
#include "offload/scratch.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/float16.hpp>
#include <zero/base/hash.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

using partition::tier;

// Unit by unit: mixed, mixed with something frozen, frozen alone, nothing, small.
partition::model_spec odd_model() {
  const auto make = [](const char* name, std::vector<std::uint64_t> shape, dtype type,
                       bool trainable = true, int group = 0) {
    partition::parameter_spec p;
    p.name = name;
    p.shape = std::move(shape);
    p.type = type;
    p.trainable = trainable;
    p.group = group;
    return p;
  };
  partition::parameter_spec tied = make("tied", {300, 11}, dtype::bf16);
  tied.tied_to = "table";
  return {{{"first", {make("table", {300, 11}, dtype::bf16), make("scale", {40}, dtype::fp32)}},
           {"second",
            {make("wide", {67, 131}, dtype::bf16), make("norm", {5}, dtype::fp32, true, 1),
             make("held", {130}, dtype::bf16, false), make("none", {0, 2}, dtype::fp32)}},
           {"frozen", {make("still", {3000}, dtype::fp32, false)}},
           {"empty", {make("nothing", {0}, dtype::bf16)}},
           {"last", {tied, make("exact", {2, 2111}, dtype::fp32), make("one", {}, dtype::bf16)}}}};
}

float read_element(const_typed_span values, std::uint64_t i) {
  return values.type == dtype::bf16 ? to_float(static_cast<const bf16_t*>(values.data)[i])
                                    : static_cast<const float*>(values.data)[i];
}

void write_element(typed_span values, std::uint64_t i, float what) {
  if (values.type == dtype::bf16) {
    static_cast<bf16_t*>(values.data)[i] = to_bf16(what);
  } else {
    static_cast<float*>(values.data)[i] = what;
  }
}

constexpr float learning_rate = 0.02F;

struct program {
  engine_options options;
  std::uint64_t seed = 0;
  int calls = 30;
  bool announces = false;
};

// One rank's run of a program. The order of calls depends on the seed alone.
class run_of_program {
 public:
  run_of_program(collectives::communicator& ranks, const program& of)
      : rank_(ranks.rank()), of_(of), optimizer_(ranks, odd_model(), of.options), random_(of.seed) {
    optimizer_.initialize([](std::size_t parameter, std::uint64_t offset, span<float> values) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, offset + i);
    });
  }

  digest128 run() {
    for (int call = 0; call < of_.calls; ++call) {
      switch (random_() % 12) {
        case 0:
        case 1:
        case 2:
          train();
          break;
        case 3:
          step();
          break;
        case 4:
          abandon();
          break;
        case 5:
          optimizer_.begin_micro_batch(pass::evaluate);
          for (int unit = 0; unit < units(); ++unit) look(unit);
          break;
        case 6:
          wander();
          break;
        case 7:
          see(optimizer_.parameters_digest());
          break;
        case 8:
          stream();
          break;
        case 9:
          show_all();
          break;
        case 10:
          change_some();
          break;
        case 11:
          step();
          step();  // of which nobody reduced anything
          break;
      }
    }
    step();
    see(optimizer_.parameters_digest());
    const memory_report memory = optimizer_.memory();
    EXPECT_EQ(memory.predicted, memory.measured);
    return seen_.digest();
  }

 private:
  template <typename Value>
  void see(const Value& value) {
    seen_.update(&value, sizeof value);
  }
  void see(const_typed_span values) {
    if (values.count > 0) seen_.update(values.data, values.count * size_of(values.type));
  }
  [[nodiscard]] int units() const {
    return static_cast<int>(optimizer_.layout().model().units.size());
  }
  [[nodiscard]] const std::vector<partition::parameter_spec>& parameters_of(int unit) const {
    return optimizer_.layout().model().units[static_cast<std::size_t>(unit)].parameters;
  }

  void look(int unit) {
    const gathered_unit held = optimizer_.gather(unit);
    for (std::size_t i = 0; i < parameters_of(unit).size(); ++i) {
      if (parameters_of(unit)[i].tied_to.empty()) see(held.parameter(i));
    }
  }

  void add_gradients(int unit) {
    const gathered_unit held = optimizer_.gather(unit);
    const unit_gradients taken = optimizer_.gradients(unit);
    for (std::size_t i = 0; i < parameters_of(unit).size(); ++i) {
      if (!parameters_of(unit)[i].tied_to.empty()) continue;
      const const_typed_span values = held.parameter(i);
      const typed_span gradient = taken.gradient(i);
      for (std::uint64_t e = 0; e < gradient.count; ++e) {
        const double value =
            toy_gradient(rank_, steps_, micro_, i + 3, e, read_element(values, e)) / 16;
        write_element(gradient, e, read_element(gradient, e) + static_cast<float>(value));
      }
    }
  }

  void train() {
    if (micro_ == of_.options.accumulate) step();
    const bool announces = of_.announces && micro_ + 1 == of_.options.accumulate;
    if (announces) optimizer_.announce_step(learning_rate);
    optimizer_.begin_micro_batch();
    for (int unit = 0; unit < units(); ++unit) look(unit);
    for (int unit = units() - 1; unit >= 0; --unit) {
      add_gradients(unit);
      optimizer_.reduce(unit);
    }
    ++micro_;
    if (announces) step();  // what was updated before is not to be looked at
  }

  void step() {
    const step_result result = optimizer_.step(learning_rate);
    see(result.gradient_norm);
    see(result.skipped);
    micro_ = 0;
    ++steps_;
  }

  // As a client does that throws in the middle of a micro-batch and goes on.
  void abandon() {
    if (micro_ > 0) return;
    optimizer_.begin_micro_batch();
    const int last = static_cast<int>(random_() % 5);
    for (int unit = 0; unit < last; ++unit) look(unit);
    add_gradients(last);
  }

  void wander() {
    for (int i = 0; i < 4; ++i) look(static_cast<int>(random_() % 5));
  }

  void stream() {
    optimizer_.stream_master([this](std::size_t, std::uint64_t, span<const float> values) {
      seen_.update(values.data(), values.size_bytes());
    });
  }

  void show_all() {
    const full_parameters_region region = optimizer_.full_parameters();
    for (std::size_t i = 0; i < optimizer_.layout().parameters().size(); ++i) {
      see(region.parameter(i));
    }
  }

  void change_some() {
    full_parameters_region region = optimizer_.full_parameters();
    for (const std::size_t parameter : {0, 2, 4, 6}) {
      const typed_span values = region.writable(parameter);
      const std::uint64_t at = random_() % values.count;
      write_element(values, at, rank_ == 0 ? 0.25F + static_cast<float>(steps_) : 7.0F);
    }
    region.write();
  }

  int rank_;
  const program& of_;
  sharded_optimizer optimizer_;
  std::mt19937_64 random_;
  hash128 seen_;
  int steps_ = 0;
  int micro_ = 0;
};

std::vector<std::string> run_everywhere(int world, const program& of) {
  std::vector<std::string> seen(static_cast<std::size_t>(world));
  run_ranks(world, [&](collectives::communicator& ranks) {
    ranks.set_deadline(std::chrono::seconds(2));
    seen[static_cast<std::size_t>(ranks.rank())] = to_hex(run_of_program(ranks, of).run());
  });
  return seen;
}

template <typename Value>
Value one_of(std::mt19937_64& random, std::initializer_list<Value> values) {
  return values.begin()[random() % values.size()];
}

program random_program(std::uint64_t seed, const std::string& policy) {
  std::mt19937_64 random(seed);
  program made;
  made.seed = seed;
  engine_options& o = made.options;
  o.policy = partition::policy_of_name(policy, 2);
  o.groups.resize(2);
  o.groups[0].constants.weight_decay = 0.1F;
  o.groups[1].learning_rate_factor = 0.5F;
  o.clip_norm = one_of(random, {0.0, 0.5});
  o.accumulate = one_of(random, {1, 2, 3});
  o.reduction = one_of(random, {reduce_at::micro_batch, reduce_at::boundary});
  o.gradients = one_of(random, {gradient_storage::fp32, gradient_storage::same});
  o.algorithm = one_of(random, {optim::algorithm::adamw, optim::algorithm::lion});
  o.formats.states = one_of(
      random, {optim::state_format::fp32, optim::state_format::bf16, optim::state_format::block8});
  o.formats.master = one_of(random, {optim::master_format::fp32, optim::master_format::remainder,
                                     optim::master_format::none});
  o.layout = one_of(random, {partition::layout_kind::flat, partition::layout_kind::whole});
  o.resident_bytes = one_of<std::uint64_t>(random, {0, 0, 200});
  o.prefetch = one_of(random, {0, 1, 4});
  o.addressing = one_of(random, {addressing::slots, addressing::stable});
  if (random() % 2 == 0) o.forward_order = {0, 1, 2, 3, 4, 0};
  if (seed % 3 == 0) {  // updates may begin before their step
    made.announces = true;
    o.clip_norm = 0.0;
    o.non_finite = non_finite::apply;
  }
  o.tiers.cell_elements = 2048;
  o.tiers.depth = one_of(random, {2, 3, 8});
  o.tiers.bounces = one_of(random, {2, 4});
  return made;
}

class programs : public ::testing::TestWithParam<std::tuple<const char*, int>> {};

TEST_P(programs, show_the_same_wherever_state_rests) {
  const auto [policy, world] = GetParam();
  const scratch_directory scratch;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    program made = random_program(seed, policy);
    made.options.disk_directory = scratch.path();
    const std::vector<std::string> right = run_everywhere(world, made);
    std::mt19937_64 random(seed + 1000);
    const auto any = [&] { return one_of(random, {tier::device, tier::host, tier::disk}); };
    const partition::sharding_policy sharded = partition::resolved(made.options.policy, world);
    for (int i = 0; i < 4; ++i) {
      partition::tiering& tiers = made.options.tiers;
      tiers.optimizer = i == 0 ? tier::disk : any();
      tiers.optimizer_ratio = one_of(random, {1.0, 1.0, 0.5});
      tiers.gradients.reset();
      if (gradients_may_leave(sharded)) tiers.gradients = i == 0 ? tier::disk : any();
      tiers.parameters = tier::device;
      if (parameters_may_leave(sharded)) tiers.parameters = i == 0 ? tier::disk : any();
      SCOPED_TRACE("seed " + std::to_string(seed) + ", optimizer on " + name_of(tiers.optimizer) +
                   ", gradients on " + name_of(gradient_tier(tiers, sharded)) + ", parameters on " +
                   name_of(tiers.parameters));
      try {
        EXPECT_EQ(run_everywhere(world, made), right);
      } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
      }
    }
  }
  EXPECT_TRUE(scratch.empty());
}

INSTANTIATE_TEST_SUITE_P(of, programs,
                         ::testing::Combine(::testing::Values("0", "1", "2", "3"),
                                            ::testing::Values(1, 2, 3)),
                         [](const auto& one) {
                           return "stage_" + std::string(std::get<0>(one.param)) + "_over_" +
                                  std::to_string(std::get<1>(one.param));
                         });
INSTANTIATE_TEST_SUITE_P(in_groups, programs,
                         ::testing::Combine(::testing::Values("hybrid", "hybrid1", "hpz"),
                                            ::testing::Values(4)),
                         [](const auto& one) { return std::string(std::get<0>(one.param)); });

}  // namespace
}  // namespace zero::testing
