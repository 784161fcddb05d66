// A sharded_optimizer as a source and a target: what is said of it, what is refused, and that what
// passes from one to another is all of it.

#include "engine/shard_runs.hpp"

#include <zero/base/error.hpp>
#include <zero/checkpoint/store.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using checkpoint::manifest;

toy_run run_of(dtype type = dtype::bf16) {
  toy_run run;
  run.type = type;
  run.options.policy = partition::policy_of_stage(2);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.groups[1].learning_rate_factor = 0.3F;
  run.options.groups[1].constants.nesterov = true;
  return run;
}

std::string why_not(const manifest& saved, const toy_run& run) {
  std::string text;
  run_ranks(1, [&](collectives::communicator& ranks) {
    sharded_optimizer optimizer(ranks, toy_model(run.type), run.options);
    try {
      checkpoint::target_of(optimizer)->expect(saved);
    } catch (const invalid_argument& e) {
      text = e.what();
    }
  });
  return text;
}

manifest described(const toy_run& run) {
  manifest m;
  run_ranks(1, [&](collectives::communicator& ranks) {
    sharded_optimizer optimizer(ranks, toy_model(run.type), run.options);
    m = checkpoint::source_of(optimizer)->describe();
  });
  return m;
}

TEST(optimizer_source, says_whose_state_it_is) {
  const manifest m = described(run_of());
  EXPECT_EQ(m.algorithm, "adamw");
  EXPECT_EQ(m.states, (std::vector<std::string>{"exp_avg", "exp_avg_sq"}));
  ASSERT_EQ(m.parameters.size(), 9U);
  EXPECT_EQ(m.parameters[0].name, "first.weight");
  EXPECT_EQ(m.parameters[0].shape, (std::vector<std::uint64_t>{7, 5}));
  EXPECT_EQ(m.parameters[0].type, dtype::bf16);
  EXPECT_EQ(m.parameters[1].group, 1);
  EXPECT_EQ(m.parameters[2].tied_to, "first.weight");
  EXPECT_FALSE(m.parameters[5].trainable);
  EXPECT_TRUE(m.parameters[7].shape.empty());
  ASSERT_EQ(m.groups.size(), 2U);
  std::map<std::string, double> second(m.groups[1].constants.begin(), m.groups[1].constants.end());
  EXPECT_EQ(second.size(), 7U);
  EXPECT_EQ(second["learning_rate_factor"], static_cast<double>(0.3F));
  EXPECT_EQ(second["nesterov"], 1.0);
  EXPECT_EQ(second["beta2"], static_cast<double>(0.999F));
  EXPECT_EQ(m.groups[0].constants[0],
            (std::pair<std::string, double>("weight_decay", static_cast<double>(0.1F))));
  EXPECT_TRUE(m.files.empty());
}

TEST(optimizer_source, names_the_arrays_of_every_rule) {
  toy_run run = run_of();
  run.options.own_states = 2;
  run.options.extra_states = 1;
  const manifest own = described(run);
  EXPECT_EQ(own.algorithm, "own");
  EXPECT_EQ(own.states, (std::vector<std::string>{"own.0", "own.1", "extra.0"}));
  run = run_of();
  run.options.algorithm = optim::algorithm::sgd;
  run.options.extra_states = 1;
  EXPECT_EQ(described(run).states, (std::vector<std::string>{"momentum_buffer", "extra.0"}));
}

TEST(optimizer_target, refuses_another_model_in_one_line) {
  struct difference {
    std::function<void(manifest&)> make;
    std::string told;
  };
  const std::vector<difference> differences = {
      {[](manifest& m) { m.parameters[3].name = "second.kernel"; },
       "parameter 3 is 'second.kernel' there and 'second.weight' here"},
      {[](manifest& m) {
         m.parameters[0].shape = {5, 7};
       },
       "'first.weight' is [5, 7] there and [7, 5] here"},
      {[](manifest& m) { m.parameters[7].shape = {1}; }, "'third.scale' is [1] there and [] here"},
      {[](manifest& m) { m.parameters[5].trainable = true; },
       "'second.frozen' is trainable there and frozen here"},
      {[](manifest& m) { m.parameters[5].type = dtype::fp32; },
       "'second.frozen' is fp32 there and bf16 here"},
      {[](manifest& m) { m.parameters[2].tied_to = ""; },
       "'first.tied' is not tied there and tied to 'first.weight' here"},
      {[](manifest& m) { m.parameters[1].group = 0; },
       "'first.bias' is in group 0 there and in group 1 here"},
      {[](manifest& m) { m.parameters.pop_back(); },
       "it has 8 parameters, 'fourth.weight' not among them"},
      {[](manifest& m) {
         m.parameters.push_back({"fifth", {3}, dtype::bf16, true, 0, ""});
       },
       "it has 'fifth', parameter 9 of 10, which is not here"},
      {[](manifest& m) { m.algorithm = "adam"; }, "trained by adam and is to be by adamw"},
      {[](manifest& m) { m.states = {"exp_avg"}; },
       "its states are exp_avg; those here exp_avg, exp_avg_sq"},
      {[](manifest& m) { m.groups.pop_back(); }, "it has 1 groups, not 2"},
      {[](manifest& m) { m.groups[1].constants.emplace_back("beta3", 0.1); },
       "group 1 has a constant 'beta3'"}};
  const manifest right = described(run_of());
  EXPECT_EQ(why_not(right, run_of()), "");
  for (const difference& d : differences) {
    manifest other = right;
    d.make(other);
    const std::string text = why_not(other, run_of());
    EXPECT_NE(text.find(d.told), std::string::npos) << text << "\nnot: " << d.told;
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
}

// fp32 weights are what is kept; of frozen parameters there are none.
TEST(optimizer_target, takes_weights_of_another_type) {
  manifest saved = described(run_of(dtype::fp32));
  EXPECT_NE(why_not(saved, run_of(dtype::bf16)).find("'second.frozen'"), std::string::npos);
  saved.parameters[5].type = dtype::bf16;
  EXPECT_EQ(why_not(saved, run_of(dtype::bf16)), "");
}

// Through the interfaces alone, to another world: as the engine's own calls have it, and the
// constants of groups with it.
TEST(optimizer_target, becomes_what_the_source_was) {
  toy_run run = run_of(dtype::fp32);
  run.steps = 2;
  watched_run saved;
  manifest m;
  std::mutex mutex;
  std::map<std::size_t, std::vector<std::vector<float>>> held;  // by parameter, by array
  run.after_step = [&](sharded_optimizer& optimizer, int step) {
    if (step != 1) return;
    saved.between.collect(optimizer);
    const auto from = checkpoint::source_of(optimizer);
    const std::lock_guard<std::mutex> lock(mutex);
    m = from->describe();
    std::size_t extents = 0;
    from->read([&](const shard_values& v) {
      ++extents;
      auto& arrays = held[v.where.parameter];
      arrays.resize(3);
      for (auto& array : arrays)
        array.resize(std::max(array.size(), v.where.offset + v.where.count));
      for (std::uint64_t i = 0; i < v.where.count; ++i) {
        arrays[0][v.where.offset + i] = static_cast<const float*>(v.weights.data)[i];
        for (int s = 0; s < v.state_count; ++s) {
          arrays[static_cast<std::size_t>(s) + 1][v.where.offset + i] = v.states[s][i];
        }
      }
    });
    EXPECT_EQ(extents, from->extents().size());
  };
  run_ranks(3, [&](collectives::communicator& ranks) { static_cast<void>(train_toy(ranks, run)); });
  whole_state loaded;
  run_ranks(2, [&](collectives::communicator& ranks) {
    engine_options options = run.options;
    options.groups.assign(2, {});
    options.policy = partition::policy_of_stage(3);
    sharded_optimizer optimizer(ranks, toy_model(run.type), options);
    const auto into = checkpoint::target_of(optimizer);
    into->expect(m);
    std::size_t extents = 0;
    into->write([&](const shard_room& room) {
      ++extents;
      const auto& arrays = held[room.where.parameter];
      for (std::uint64_t i = 0; i < room.where.count; ++i) {
        static_cast<float*>(room.weights.data)[i] = arrays[0][room.where.offset + i];
        for (int s = 0; s < room.state_count; ++s) {
          room.states[s][i] = arrays[static_cast<std::size_t>(s) + 1][room.where.offset + i];
        }
      }
    });
    EXPECT_EQ(extents, into->extents().size());
    into->resume(m);
    EXPECT_EQ(optimizer.progress().updates, 2U);
    for (std::size_t g = 0; g < 2; ++g) {
      const parameter_group& now = optimizer.options().groups[g];
      const parameter_group& was = run.options.groups[g];
      EXPECT_EQ(now.constants.weight_decay, was.constants.weight_decay);
      EXPECT_EQ(now.constants.nesterov, was.constants.nesterov);
      EXPECT_EQ(now.learning_rate_factor, was.learning_rate_factor);
    }
    loaded.collect(optimizer);
  });
  expect_same_bits(loaded, saved.between);
}

}  // namespace
}  // namespace zero::testing
