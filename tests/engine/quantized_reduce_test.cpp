// Gradients reduced in codes: off is off; on, every policy has the same bits, and what is lost is
// within what the scales of the codes say.

#include "engine/quantized_runs.hpp"
#include "support/spread_ranks.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace zero::testing {
namespace {

class coded_reductions : public ::testing::TestWithParam<shape> {};
INSTANTIATE_TEST_SUITE_P(quantized, coded_reductions, ::testing::ValuesIn(quantized_shapes));

TEST_P(coded_reductions, stages_have_the_same_bits_with_gradients_reduced_in_codes) {
  const auto [world, node_ranks] = GetParam();
  SCOPED_TRACE(text_of(GetParam()));
  for (const dtype type : quantized_dtypes) {
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

TEST_P(coded_reductions, stages_have_the_same_bits_under_accumulation_with_either_policy) {
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

// Nobody said how ranks stand: hosts that are equal runs are nodes, others are not asked.
TEST(quantized_reduce, takes_hosts_for_nodes) {
  const auto trained = [](const std::function<int(int)>& host) {
    toy_result first;
    run_ranks(6, [&](collectives::communicator& ranks) {
      spread_ranks spread(ranks, host);
      toy_result own = train_toy(spread, reduced_in(4, 0, 1));
      EXPECT_EQ(own.memory.predicted, own.memory.measured);
      if (ranks.rank() == 0) first = std::move(own);
    });
    return first;
  };
  const auto nodes_of = [](int ranks) { return train_and_check(6, reduced_in(4, ranks, 1)); };
  expect_same(trained([](int rank) { return rank / 2; }), nodes_of(2));
  expect_same(trained([](int rank) { return rank / 3; }), nodes_of(3));
  const toy_result at_once = nodes_of(0);
  expect_same(trained([](int) { return 0; }), at_once);
  expect_same(trained([](int rank) { return rank; }), at_once);
  expect_same(trained([](int rank) { return rank % 2; }), at_once);
  expect_same(trained([](int rank) { return rank / 4; }), at_once);        // runs of 4 and 2
  expect_same(trained([](int rank) { return (rank + 1) / 3; }), at_once);  // of 2, 3 and 1
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

// The largest magnitude each rank has among the gradients of a unit in a micro-batch of the first
// step; a block of codes has no larger scale than these make.
std::vector<double> largest_gradients(const partition::model_spec& model, std::size_t unit,
                                      int world, int micro) {
  std::vector<double> largest(static_cast<std::size_t>(world), 0.0);
  std::size_t parameter = 0;
  for (std::size_t u = 0; u < model.units.size(); ++u) {
    for (const partition::parameter_spec& p : model.units[u].parameters) {
      const std::size_t index = parameter++;
      if (u != unit || !p.trainable || !p.tied_to.empty()) continue;
      for (std::uint64_t e = 0; e < partition::element_count(p.shape); ++e) {
        for (int rank = 0; rank < world; ++rank) {
          double g = toy_gradient(rank, 0, micro, index, e, toy_value(index, e));
          if (index == 0) g += toy_gradient(rank, 0, micro, 2, e, toy_value(index, e));
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

// The largest difference of two elements.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::fabs(double{a[i]} - double{b[i]}));
  }
  return worst;
}

// One step of SGD without momentum or decay moves a parameter by the learning rate times its
// gradient, so what is off is the gradient.
TEST_P(coded_reductions, a_reduced_gradient_is_off_by_no_more_than_the_scales_allow) {
  const auto [world, node_ranks] = GetParam();
  const partition::model_spec model = toy_model(dtype::fp32);
  for (const auto& [bits, micro_batches] : {std::pair{4, 1}, {8, 1}, {4, 3}}) {
    toy_run run = reduced_in(bits, node_ranks, 2);
    run.steps = 1;
    run.micro_batches = run.options.accumulate = micro_batches;
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
      double bound = 0;
      for (int micro = 0; micro < micro_batches; ++micro) {
        bound += error_bound(largest_gradients(model, unit, world, micro), bits, node_ranks);
      }
      double worst = 0;
      for (std::size_t i = 0; i < model.units[unit].parameters.size(); ++i, ++parameter) {
        worst = std::max(worst, distance(coded.master[parameter], exact.master[parameter]));
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
