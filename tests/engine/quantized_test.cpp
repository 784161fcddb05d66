// Collectives in codes: off is off; on, every policy, prefetch depth and addressing has the same
// bits, memory and traffic are what was predicted, and what is lost is within what the scales of
// the codes say.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>
#include <zero/base/float16.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

constexpr dtype dtypes[] = {dtype::fp32, dtype::bf16, dtype::fp16};

toy_run base_run(int stage, dtype type = dtype::fp32) {
  toy_run run;
  run.type = type;
  run.options.policy = partition::policy_of_stage(stage);
  run.options.groups.resize(2);
  run.options.groups[0].constants.weight_decay = 0.1F;
  run.options.groups[1].learning_rate_factor = 0.5F;
  run.options.clip_norm = 1.0;
  return run;
}

toy_run reduced_in(int bits, int node_ranks, int stage, dtype type = dtype::fp32) {
  toy_run run = base_run(stage, type);
  run.options.quantized_reduce = bits;
  run.options.node_ranks = node_ranks;
  return run;
}

void expect_traffic_as_planned(const toy_result& result, const toy_run& run, int world) {
  const partition::communication_volume each =
      sharded_optimizer::predict_communication(toy_model(run.type), run.options, world).step();
  const auto steps = static_cast<std::uint64_t>(run.steps - 1);
  const collectives::traffic& first = result.traffic_after_first_step;
  const collectives::traffic& end = result.traffic_at_end;
  EXPECT_EQ(end.all_gather - first.all_gather, steps * each.all_gather);
  EXPECT_EQ(end.reduce_scatter - first.reduce_scatter, steps * each.reduce_scatter);
  EXPECT_EQ(end.all_to_all - first.all_to_all, steps * each.all_to_all);
  EXPECT_EQ(end.calls - first.calls, steps * each.calls);
  EXPECT_EQ(each.all_to_all > 0, world > 1 && run.options.quantized_reduce > 0);
  EXPECT_EQ(end.staged, first.staged);
}

toy_result train_and_check(int world, const toy_run& run) {
  std::vector<toy_result> results(static_cast<std::size_t>(world));
  run_ranks(world, [&](collectives::communicator& ranks) {
    results[static_cast<std::size_t>(ranks.rank())] = train_toy(ranks, run);
  });
  const auto predicted = sharded_optimizer::predict(toy_model(run.type), run.options, world);
  for (const toy_result& r : results) {
    EXPECT_EQ(r.digest, results[0].digest);
    EXPECT_EQ(r.norms, results[0].norms);
    EXPECT_EQ(r.memory.predicted, r.memory.measured);
    EXPECT_EQ(r.memory.predicted, predicted.predicted);
    EXPECT_EQ(r.memory.predicted_peak, r.memory.measured_peak);
    EXPECT_EQ(r.allocations_after_first_step, r.allocations_at_end);
    if (!run.evaluate_between) expect_traffic_as_planned(r, run, world);
  }
  return std::move(results[0]);
}

void expect_same(const toy_result& a, const toy_result& b) {
  EXPECT_EQ(to_hex(a.digest), to_hex(b.digest));
  EXPECT_EQ(a.norms, b.norms);
  EXPECT_EQ(a.skipped, b.skipped);
}

struct shape {
  int world;
  int node_ranks;
};
std::string text_of(const shape& s) {
  return std::to_string(s.world) + " ranks in nodes of " + std::to_string(s.node_ranks);
}

class shapes : public ::testing::TestWithParam<shape> {};
INSTANTIATE_TEST_SUITE_P(quantized, shapes,
                         ::testing::Values(shape{1, 0}, shape{2, 0}, shape{2, 1}, shape{2, 2},
                                           shape{3, 0}, shape{4, 2}, shape{6, 2}, shape{6, 3},
                                           shape{7, 1}));

TEST_P(shapes, stages_have_the_same_bits_with_gradients_reduced_in_codes) {
  const auto [world, node_ranks] = GetParam();
  SCOPED_TRACE(text_of(GetParam()));
  for (const dtype type : dtypes) {
    for (const int bits : {4, 8}) {
      for (const gradient_storage kept : {gradient_storage::fp32, gradient_storage::same}) {
        toy_run run = reduced_in(bits, node_ranks, 0, type);
        run.options.gradients = kept;
        const toy_result first = train_and_check(world, run);
        for (int stage = 1; stage <= 3; ++stage) {
          SCOPED_TRACE(std::string(name_of(type)) + " stage " + std::to_string(stage));
          run.options.policy = partition::policy_of_stage(stage);
          expect_same(train_and_check(world, run), first);
        }
        run.options.quantized_reduce = 0;
        const toy_result plain = train_and_check(world, run);
        EXPECT_EQ(to_hex(plain.digest) == to_hex(first.digest), world == 1);
      }
    }
  }
}

TEST_P(shapes, stages_have_the_same_bits_under_accumulation_with_either_policy) {
  const auto [world, node_ranks] = GetParam();
  for (const reduce_at when : {reduce_at::micro_batch, reduce_at::boundary}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      toy_run run = reduced_in(4, node_ranks, 0, type);
      run.micro_batches = run.options.accumulate = 3;
      run.options.reduction = when;
      const toy_result first = train_and_check(world, run);
      for (int stage = 1; stage <= 3; ++stage) {
        SCOPED_TRACE(std::string(name_of(type)) + " stage " + std::to_string(stage));
        run.options.policy = partition::policy_of_stage(stage);
        expect_same(train_and_check(world, run), first);
      }
    }
  }
}

// Rows with groups number pieces otherwise; the codes of an element and the order of sums stay.
TEST(quantized_reduce, has_the_same_bits_over_groups_as_over_nodes_of_their_size) {
  for (const shape s : {shape{4, 2}, shape{6, 2}, shape{6, 3}}) {
    for (const dtype type : {dtype::fp32, dtype::bf16}) {
      for (const int accumulate : {1, 2}) {
        toy_run run = reduced_in(4, s.node_ranks, 3, type);
        run.micro_batches = run.options.accumulate = accumulate;
        const toy_result flat = train_and_check(s.world, run);
        for (const char* name : {"hybrid", "hybrid1", "hpz"}) {
          SCOPED_TRACE(text_of(s) + " " + name);
          run.options.policy = partition::policy_of_name(name, s.node_ranks);
          run.options.node_ranks = 0;  // the policy's groups are meant
          expect_same(train_and_check(s.world, run), flat);
        }
      }
    }
  }
}

TEST(quantized_reduce, of_one_level_differs_from_two) {
  const toy_result one = train_and_check(4, reduced_in(4, 4, 2));
  expect_same(train_and_check(4, reduced_in(4, 1, 2)), one);
  EXPECT_NE(to_hex(train_and_check(4, reduced_in(4, 2, 2)).digest), to_hex(one.digest));
}

TEST(quantized_reduce, steps_that_are_not_finite_are_skipped_by_all) {
  for (const shape s : {shape{3, 0}, shape{4, 2}}) {
    for (int stage = 0; stage <= 3; ++stage) {
      toy_run run = reduced_in(4, s.node_ranks, stage, dtype::fp16);
      run.options.loss_scale = {64.0F, true, 2.0F, 0.5F, 2, 1, 1.0F, 1024.0F};
      run.bad_step = 1;
      const toy_result got = train_and_check(s.world, run);
      EXPECT_EQ(got.skipped, (std::vector<bool>{false, true, false, false})) << stage;
    }
  }
}

// The largest magnitude each rank has among the gradients of a unit in the first step; a block of
// codes has no larger scale than these make.
std::vector<double> largest_gradients(const partition::model_spec& model, std::size_t unit,
                                      int world) {
  std::vector<double> largest(static_cast<std::size_t>(world), 0.0);
  std::size_t parameter = 0;
  for (std::size_t u = 0; u < model.units.size(); ++u) {
    for (const partition::parameter_spec& p : model.units[u].parameters) {
      const std::size_t index = parameter++;
      if (u != unit || !p.trainable || !p.tied_to.empty()) continue;
      for (std::uint64_t e = 0; e < partition::element_count(p.shape); ++e) {
        for (int rank = 0; rank < world; ++rank) {
          double g = toy_gradient(rank, 0, 0, index, e, toy_value(index, e));
          if (index == 0) g += toy_gradient(rank, 0, 0, 2, e, toy_value(index, e));
          double& most = largest[static_cast<std::size_t>(rank)];
          most = std::max(most, std::fabs(g));
        }
      }
    }
  }
  return largest;
}

// Of a sum over ranks: half a scale for each rank's gradient, and, in two levels, half a scale of
// each group's sum, which is off already.
double error_bound(const std::vector<double>& largest, int bits, int node_ranks) {
  const double half = (1 + 0x1p-15) / (2.0 * (bits == 8 ? 127 : 7));
  const auto world = static_cast<int>(largest.size());
  double bound = 0;
  double of_group = 0;
  for (int rank = 0; rank < world; ++rank) {
    const double own = largest[static_cast<std::size_t>(rank)];
    bound += own * half;
    of_group += own + own * half;
    const bool levels = node_ranks > 1 && node_ranks < world;
    if (levels && (rank + 1) % node_ranks == 0) bound += std::exchange(of_group, 0.0) * half;
  }
  return bound;
}

// One step of SGD without momentum or decay moves a parameter by the learning rate times its
// gradient, so what is off is the gradient.
TEST_P(shapes, a_reduced_gradient_is_off_by_no_more_than_the_scales_allow) {
  const auto [world, node_ranks] = GetParam();
  const partition::model_spec model = toy_model(dtype::fp32);
  for (const int bits : {4, 8}) {
    toy_run run = reduced_in(bits, node_ranks, 2);
    run.steps = 1;
    run.learning_rate = 1.0F;
    run.options.clip_norm = 0;
    run.options.algorithm = optim::algorithm::sgd;
    run.options.groups.assign(2, {});
    for (parameter_group& g : run.options.groups) {
      g.constants = optim::default_hyper(optim::algorithm::sgd);
      g.constants.weight_decay = 0;
    }
    const toy_result coded = train_and_check(world, run);
    run.options.quantized_reduce = 0;
    const toy_result exact = train_and_check(world, run);
    std::size_t parameter = 0;
    for (std::size_t unit = 0; unit < model.units.size(); ++unit) {
      const double bound = error_bound(largest_gradients(model, unit, world), bits, node_ranks);
      double worst = 0;
      for (std::size_t i = 0; i < model.units[unit].parameters.size(); ++i, ++parameter) {
        ASSERT_EQ(coded.master[parameter].size(), exact.master[parameter].size());
        for (std::size_t e = 0; e < coded.master[parameter].size(); ++e) {
          worst = std::max(worst, std::fabs(double{coded.master[parameter][e]} -
                                            double{exact.master[parameter][e]}));
        }
      }
      EXPECT_LE(worst, bound + 1e-6) << text_of(GetParam()) << " unit " << unit;
      if (world == 1) {
        EXPECT_EQ(worst, 0.0);
      } else {
        EXPECT_GT(worst, bound / 100) << "not in codes, or a bound that says nothing";
      }
    }
  }
}

TEST(quantized_reduce, trains_near_what_is_trained_without) {
  for (const shape s : {shape{3, 0}, shape{4, 2}}) {
    toy_run run = reduced_in(4, s.node_ranks, 3);
    run.options.algorithm = optim::algorithm::sgd;
    run.learning_rate = 0.01F;
    run.steps = 12;
    const toy_result coded = train_and_check(s.world, run);
    run.options.quantized_reduce = 0;
    const toy_result exact = train_and_check(s.world, run);
    for (std::size_t step = 0; step < exact.norms.size(); ++step) {
      EXPECT_NEAR(coded.norms[step], exact.norms[step], 0.05 * exact.norms[step]);
    }
  }
}

float load(const_typed_span values, std::uint64_t i) {
  if (values.type == dtype::bf16) return to_float(static_cast<const bf16_t*>(values.data)[i]);
  if (values.type == dtype::fp16) return to_float(static_cast<const fp16_t*>(values.data)[i]);
  return static_cast<const float*>(values.data)[i];
}

// What one rank sees of every parameter when it gathers unit by unit.
std::vector<std::vector<float>> seen_by(sharded_optimizer& optimizer) {
  std::vector<std::vector<float>> seen;
  optimizer.begin_micro_batch(pass::evaluate);
  for (std::size_t unit = 0; unit < optimizer.layout().model().units.size(); ++unit) {
    const gathered_unit held = optimizer.gather(static_cast<int>(unit));
    const std::size_t count = optimizer.layout().model().units[unit].parameters.size();
    for (std::size_t i = 0; i < count; ++i) {
      const const_typed_span values = held.parameter(i);
      std::vector<float>& copy = seen.emplace_back();
      for (std::uint64_t e = 0; e < values.count; ++e) copy.push_back(load(values, e));
    }
  }
  return seen;
}

// Half a scale, at most, of the block an element lies in, and a rounding to its dtype; and what
// rests is what it was.
TEST(quantized_gather, shows_all_ranks_the_same_values_within_half_a_scale) {
  for (const dtype type : dtypes) {
    std::vector<std::vector<std::vector<float>>> seen(3);
    run_ranks(3, [&](collectives::communicator& ranks) {
      engine_options options = base_run(3, type).options;
      options.quantized_gather = 8;
      sharded_optimizer optimizer(ranks, toy_model(type), options);
      optimizer.initialize([](std::size_t parameter, std::uint64_t offset, span<float> values) {
        for (std::size_t i = 0; i < values.size(); ++i)
          values[i] = toy_value(parameter, offset + i);
      });
      const auto own = seen_by(optimizer);
      seen[static_cast<std::size_t>(ranks.rank())] = own;
      EXPECT_EQ(seen_by(optimizer), own) << "a second time";
      const full_parameters_region whole = optimizer.full_parameters();
      const auto places = optimizer.layout().parameters();
      std::size_t changed = 0;
      for (const partition::placement& p : places) {
        const const_typed_span exact = whole.parameter(p.index);
        for (std::uint64_t e = 0; e < p.count; ++e) {
          double largest = 0;  // of the elements of its block
          for (const partition::placement& other : places) {
            if (other.bucket != p.bucket || other.storage != other.index) continue;
            const std::uint64_t begin = (p.offset + e) / 128 * 128;
            const std::uint64_t from = std::max(begin, other.offset);
            const std::uint64_t to = std::min(begin + 128, other.offset + other.count);
            const const_typed_span values = whole.parameter(other.index);
            for (std::uint64_t i = from; i < to; ++i) {
              largest = std::max(largest, std::fabs(double{load(values, i - other.offset)}));
            }
          }
          const double rest = load(exact, e);
          const double rounding = type == dtype::bf16 ? 0x1p-8 : type == dtype::fp16 ? 0x1p-11 : 0;
          const double bound = largest / 254 * (1 + 0x1p-14) + std::fabs(rest) * 1.01 * rounding;
          ASSERT_NEAR(double{own[p.index][e]}, rest, bound) << name_of(type) << " " << p.index;
          changed += own[p.index][e] != load(exact, e) ? 1 : 0;
        }
      }
      EXPECT_GT(changed, 0U) << "not gathered in codes";
    });
    EXPECT_EQ(seen[1], seen[0]);
    EXPECT_EQ(seen[2], seen[0]);
  }
}

TEST_P(shapes, gathers_in_codes_have_the_same_bits_at_every_prefetch_and_addressing) {
  const int world = GetParam().world;
  for (const dtype type : {dtype::fp32, dtype::bf16}) {
    toy_run run = base_run(3, type);
    run.options.quantized_gather = 8;
    const toy_result first = train_and_check(world, run);
    for (const int prefetch : {0, 2, 9}) {
      for (const addressing how : {addressing::slots, addressing::stable}) {
        run.options.prefetch = prefetch;
        run.options.addressing = how;
        run.evaluate_between = prefetch == 2;
        SCOPED_TRACE(prefetch);
        expect_same(train_and_check(world, run), first);
      }
    }
    const toy_result plain = train_and_check(world, base_run(3, type));
    EXPECT_EQ(to_hex(plain.digest) == to_hex(first.digest), world == 1);
  }
}

// What is gathered again within a group is what was gathered first.
TEST(quantized_gather, has_the_same_bits_with_secondary_parameters_and_in_groups) {
  for (const dtype type : dtypes) {
    toy_run run = base_run(3, type);
    run.options.quantized_gather = 8;
    run.micro_batches = run.options.accumulate = 2;
    const toy_result flat = train_and_check(4, run);
    for (const char* name : {"hpz", "hybrid", "hybrid1"}) {
      for (const int size : {2, 4}) {
        SCOPED_TRACE(name);
        run.options.policy = partition::policy_of_name(name, size);
        expect_same(train_and_check(4, run), flat);
      }
    }
  }
}

TEST(quantized_gather, leaves_alone_what_is_not_gathered) {
  for (int stage = 0; stage <= 2; ++stage) {
    toy_run run = base_run(stage);
    const toy_result plain = train_and_check(3, run);
    run.options.quantized_gather = 8;
    const toy_result coded = train_and_check(3, run);
    expect_same(coded, plain);
    EXPECT_EQ(coded.memory.measured, plain.memory.measured);
  }
}

TEST(quantized, both_together_work_at_every_stage) {
  for (const dtype type : dtypes) {
    toy_run run = reduced_in(4, 2, 3, type);
    run.options.quantized_gather = 8;
    run.options.addressing = addressing::stable;
    run.options.resident_bytes = 256;
    const toy_result first = train_and_check(6, run);
    run.options.addressing = addressing::slots;
    run.options.prefetch = 3;
    expect_same(train_and_check(6, run), first);
  }
}

TEST(quantized_options, that_cannot_be_are_refused) {
  const auto refused = [](auto change) {
    run_ranks(2, [&](collectives::communicator& ranks) {
      engine_options options = base_run(3).options;
      change(options);
      EXPECT_THROW(sharded_optimizer(ranks, toy_model(dtype::fp32), options), invalid_argument);
    });
  };
  refused([](engine_options& o) { o.quantized_gather = 4; });
  refused([](engine_options& o) { o.quantized_gather = 1; });
  refused([](engine_options& o) { o.quantized_reduce = 5; });
  refused([](engine_options& o) { o.quantized_reduce = -4; });
  refused([](engine_options& o) { o.node_ranks = 3; });
  refused([](engine_options& o) { o.node_ranks = -1; });
}

TEST(quantized_options, that_differ_between_ranks_are_named) {
  const auto told = [](auto change) {
    std::string message;
    run_ranks(3, [&](collectives::communicator& ranks) {
      engine_options options = reduced_in(4, 1, 3).options;
      if (ranks.rank() == 1) change(options);
      try {
        const sharded_optimizer optimizer(ranks, toy_model(dtype::fp32), options);
        ADD_FAILURE() << "let through";
      } catch (const desync& refusal) {
        EXPECT_EQ(refusal.ranks, std::vector<int>{1});
        if (ranks.rank() == 0) message = refusal.what();
      }
    });
    return message;
  };
  EXPECT_NE(told([](engine_options& o) { o.quantized_gather = 8; }).find("gathered parameters = 8"),
            std::string::npos);
  EXPECT_NE(told([](engine_options& o) { o.quantized_reduce = 8; }).find("reduced gradients = 8"),
            std::string::npos);
  EXPECT_NE(told([](engine_options& o) { o.node_ranks = 3; }).find("ranks of a node = 3"),
            std::string::npos);
}

}  // namespace
}  // namespace zero::testing
