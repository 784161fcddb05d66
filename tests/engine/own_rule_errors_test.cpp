// A client's own rule where it cannot be, and one that throws.

#include "engine/own_rule_runs.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace zero::testing {
namespace {

using partition::tier;

TEST(own_rule_options, that_cannot_be_are_refused) {
  const auto expect_refused = [](const char* word, const auto& change) {
    engine_options options;
    options.groups.resize(2);
    change(options);
    run_ranks(1, [&](collectives::communicator& ranks) {
      try {
        sharded_optimizer(ranks, toy_model(dtype::bf16), options);
        ADD_FAILURE() << word << " was taken";
      } catch (const invalid_argument& refused) {
        EXPECT_NE(std::string(refused.what()).find(word), std::string::npos) << refused.what();
      }
    });
  };
  using options = engine_options;
  expect_refused("own_states is 9", [](options& o) { o.own_states = 9; });
  expect_refused("own_states is -2", [](options& o) { o.own_states = -2; });
  expect_refused("extra_states is 9", [](options& o) { o.extra_states = 9; });
  expect_refused("extra_states is -1", [](options& o) { o.extra_states = -1; });
  expect_refused("gradient_divisor", [](options& o) { o.gradient_divisor = 0; });
  expect_refused("gradient_divisor", [](options& o) { o.gradient_divisor = -2; });
  expect_refused("gradient_divisor", [](options& o) { o.gradient_divisor = INFINITY; });
  expect_refused("gradient_divisor", [](options& o) { o.gradient_divisor = NAN; });
  expect_refused("block8", [](options& o) {
    o.own_states = 1;
    o.formats.states = optim::state_format::block8;
  });
  expect_refused("remainder", [](options& o) {
    o.extra_states = 1;
    o.formats.master = optim::master_format::remainder;
  });
  options wrong;
  wrong.extra_states = -1;
  wrong.groups.resize(2);
  EXPECT_THROW(static_cast<void>(sharded_optimizer::predict(toy_model(dtype::bf16), wrong, 2)),
               invalid_argument);
}

TEST(own_rule_options, that_differ_between_ranks_are_told) {
  for (int which = 0; which < 3; ++which) {
    const auto errors = try_ranks(2, [&](collectives::communicator& ranks) {
      engine_options options;
      options.groups.resize(2);
      const bool other = ranks.rank() == 1;
      if (which == 0) options.own_states = other ? 2 : -1;
      if (which == 1) options.extra_states = other ? 1 : 0;
      if (which == 2) options.gradient_divisor = other ? 2.0 : 1.0;
      sharded_optimizer(ranks, toy_model(dtype::fp32), options);
    });
    const char* word[] = {"the client's own", "extra states", "gradient divisor"};
    for (const auto& error : errors) {
      ASSERT_NE(error, nullptr);
      try {
        std::rethrow_exception(error);
      } catch (const desync& told) {
        EXPECT_NE(std::string(told.what()).find(word[which]), std::string::npos) << told.what();
      }
    }
  }
}

TEST(own_rule_steps, need_a_rule_and_others_have_none) {
  run_ranks(2, [](collectives::communicator& ranks) {
    engine_options options;
    options.groups.resize(2);
    sharded_optimizer built_in(ranks, toy_model(dtype::fp32), options);
    EXPECT_THROW(built_in.step(0.1F, odd_rule), invalid_argument);
    static_cast<void>(built_in.step(0.1F));
    options.own_states = odd_states;
    sharded_optimizer own(ranks, toy_model(dtype::fp32), options);
    EXPECT_THROW(own.step(0.1F), invalid_argument);
    EXPECT_THROW(own.step(0.1F, range_function()), invalid_argument);
    EXPECT_EQ(own.step(0.1F, odd_rule).step, 1U);
  });
}

struct refusal {};

TEST(own_rule_steps, that_throw_break_the_optimizer_and_peers_are_told) {
  for (const int world : {1, 2, 3}) {
    for (const char* policy : {"0", "1", "2", "3"}) {
      for (const tier where : {tier::device, tier::host, tier::disk}) {
        SCOPED_TRACE(std::string("stage ") + policy + ", " + name_of(where) + ", " +
                     std::to_string(world) + " ranks");
        toy_run run = base_run(dtype::bf16);
        rest_on(run, where, policy);
        run.options.own_states = odd_states;
        const auto errors = try_ranks(world, [&](collectives::communicator& ranks) {
          toy_run own = run;
          own.update = [&](sharded_optimizer& optimizer, int step) {
            const bool throws = step == 1 && ranks.rank() == world - 1;
            int ranges = 0;
            const auto update = [&](const state_range& range) {
              if (throws && ++ranges == 2) throw refusal();
              odd_rule(range);
            };
            try {
              static_cast<void>(optimizer.step(0.1F, update));
            } catch (const refusal&) {
              EXPECT_THROW(static_cast<void>(optimizer.step(0.1F, odd_rule)), refusal);
              EXPECT_THROW(static_cast<void>(optimizer.last_step()), refusal);
              EXPECT_THROW(static_cast<void>(optimizer.parameters_digest()), refusal);
              EXPECT_THROW(static_cast<void>(optimizer.full_parameters()), refusal);
              EXPECT_THROW(optimizer.begin_micro_batch(), refusal);
              EXPECT_THROW(static_cast<void>(optimizer.gather(0)), refusal);
              throw;
            }
          };
          static_cast<void>(train_toy(ranks, own));
        });
        for (int rank = 0; rank < world; ++rank) {
          ASSERT_NE(errors[static_cast<std::size_t>(rank)], nullptr) << rank;
          try {
            std::rethrow_exception(errors[static_cast<std::size_t>(rank)]);
          } catch (const error& told) {
            EXPECT_LT(rank, world - 1);
            const std::string who = "the update rule of rank " + std::to_string(world - 1);
            EXPECT_NE(std::string(told.what()).find(who), std::string::npos) << told.what();
          } catch (const refusal&) {
            EXPECT_EQ(rank, world - 1);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace zero::testing
