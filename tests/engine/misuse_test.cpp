// Calls in unexpected order: what is allowed gives the same at every stage, what is not is refused
// and loses nothing.

#include "engine/toy_client.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace zero::testing {
namespace {

// Four equal units, so that any gradient slot fits any unit.
partition::model_spec equal_units() {
  partition::model_spec model;
  for (int u = 0; u < 4; ++u) {
    partition::parameter_spec weight;
    weight.name = "weight." + std::to_string(u);
    weight.shape = {640};
    model.units.push_back({"unit." + std::to_string(u), {weight}});
  }
  return model;
}

template <typename Body>
void at_every_stage(int world, engine_options options, Body body) {
  for (int stage = 0; stage <= 3; ++stage) {
    SCOPED_TRACE("stage " + std::to_string(stage));
    options.policy = partition::policy_of_stage(stage);
    run_ranks(world, [&](collectives::communicator& ranks) {
      sharded_optimizer optimizer(ranks, equal_units(), options);
      optimizer.begin_micro_batch();
      body(optimizer, ranks.rank());
    });
  }
}

void add(sharded_optimizer& optimizer, int unit, float what) {
  static_cast<float*>(optimizer.gradients(unit).gradient(0).data)[639] += what;
}

TEST(misuse, gradients_may_be_taken_in_any_order) {
  engine_options options;
  options.accumulate = 3;
  at_every_stage(2, options, [](sharded_optimizer& optimizer, int) {
    add(optimizer, 3, 1);
    add(optimizer, 1, 2);
    optimizer.reduce(1);
    optimizer.reduce(3);
    add(optimizer, 1, 4);
    add(optimizer, 2, 8);
    optimizer.reduce(2);
    optimizer.reduce(1);
    add(optimizer, 0, 16);
    optimizer.reduce(0);
    // Per unit, twice for two ranks: 32, 12, 16, 2.
    EXPECT_DOUBLE_EQ(optimizer.step(0.0F).gradient_norm,
                     std::sqrt(32.0 * 32 + 12 * 12 + 16 * 16 + 2 * 2));
  });
}

TEST(misuse, gradients_after_the_last_reduction_are_refused_and_erase_nothing) {
  for (const int world : {1, 2}) {
    at_every_stage(world, {}, [&](sharded_optimizer& optimizer, int) {
      add(optimizer, 2, 3);
      optimizer.reduce(2);
      EXPECT_THROW(static_cast<void>(optimizer.gradients(2)), invalid_argument);
      EXPECT_DOUBLE_EQ(optimizer.step(0.0F).gradient_norm, 3.0 * world);
    });
  }
}

TEST(misuse, what_was_taken_and_not_reduced_is_forgotten) {
  at_every_stage(2, {}, [](sharded_optimizer& optimizer, int) {
    for (int round = 0; round < 3; ++round) {
      for (const int unit : {0, 1}) add(optimizer, unit, 100);
      if (round % 2 == 0) {
        EXPECT_EQ(optimizer.step(0.0F).gradient_norm, 0.0);
      } else {
        optimizer.begin_micro_batch();
      }
    }
    optimizer.begin_micro_batch();
    for (const int unit : {3, 2, 1, 0}) {
      add(optimizer, unit, 1);
      optimizer.reduce(unit);
    }
    EXPECT_DOUBLE_EQ(optimizer.step(0.0F).gradient_norm, 4.0);
  });
}

TEST(misuse, under_boundary_an_abandoned_micro_batch_is_refused) {
  engine_options options;
  options.accumulate = 3;
  options.reduction = reduce_at::boundary;
  at_every_stage(2, options, [](sharded_optimizer& optimizer, int) {
    add(optimizer, 1, 1);
    optimizer.reduce(1);
    optimizer.begin_micro_batch();
    add(optimizer, 1, 1);
    EXPECT_THROW(optimizer.begin_micro_batch(), invalid_argument);
    optimizer.reduce(1);
    EXPECT_DOUBLE_EQ(optimizer.step(0.0F).gradient_norm, 4.0);
  });
}

TEST(misuse, a_learning_rate_that_differs_or_is_not_finite_is_refused) {
  at_every_stage(2, {}, [](sharded_optimizer& optimizer, int rank) {
    EXPECT_THROW(optimizer.step(std::numeric_limits<float>::quiet_NaN()), invalid_argument);
    try {
      optimizer.step(rank == 0 ? 0.25F : 0.5F);
      ADD_FAILURE() << "ranks stepped apart";
    } catch (const desync& refusal) {
      EXPECT_EQ(refusal.ranks, std::vector<int>{1});
      EXPECT_NE(std::string(refusal.what()).find("0.5"), std::string::npos);
    }
  });
}

TEST(misuse, counts_of_reductions_that_differ_are_refused_before_the_update) {
  engine_options options;
  options.accumulate = 2;
  options.reduction = reduce_at::boundary;
  at_every_stage(2, options, [](sharded_optimizer& optimizer, int rank) {
    for (int micro = 0; micro <= rank; ++micro) {
      optimizer.begin_micro_batch();
      add(optimizer, 1, 1);
      optimizer.reduce(1);
    }
    EXPECT_THROW(optimizer.step(0.1F), desync);
  });
}

TEST(misuse, changing_parameters_while_a_unit_is_held_is_refused) {
  engine_options options;
  options.policy = partition::policy_of_stage(3);
  run_ranks(2, [&](collectives::communicator& ranks) {
    sharded_optimizer optimizer(ranks, equal_units(), options);
    full_parameters_region region = optimizer.full_parameters();
    optimizer.begin_micro_batch();
    gathered_unit held = optimizer.gather(0);
    EXPECT_THROW(region.write(), invalid_argument);
    EXPECT_THROW(static_cast<void>(optimizer.full_parameters()), invalid_argument);
    EXPECT_THROW(optimizer.initialize([](std::size_t, std::uint64_t, span<float>) {}),
                 invalid_argument);
    held.release();
    region.write();
  });
}

TEST(misuse, a_forward_order_that_leaves_a_unit_out_is_refused) {
  engine_options options;
  options.forward_order = {0, 1, 3};
  run_ranks(1, [&](collectives::communicator& ranks) {
    EXPECT_THROW(sharded_optimizer(ranks, equal_units(), options), invalid_argument);
  });
}

}  // namespace
}  // namespace zero::testing
