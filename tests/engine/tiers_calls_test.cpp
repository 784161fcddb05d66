// Calls that are rare, with everything on the disk beside everything on the device: the same is
// seen, or the same is refused on every rank.

#include "engine/toy_client.hpp"
#include "offload/scratch.hpp"
#include "support/run_ranks.hpp"

#include <zero/base/error.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using partition::tier;

// What a body saw on each rank.
using sights = std::vector<std::string>;
using body = std::function<std::string(sharded_optimizer&, int rank)>;

engine_options options_on(tier rests, const std::string& directory) {
  engine_options options;
  options.policy = partition::policy_of_stage(3);
  options.groups.resize(2);
  options.disk_directory = directory;
  options.tiers.optimizer = rests;
  options.tiers.gradients = rests;
  options.tiers.parameters = rests;
  options.tiers.cell_elements = 2048;
  return options;
}

void fill(sharded_optimizer& optimizer) {
  optimizer.initialize([](std::size_t parameter, std::uint64_t offset, span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = toy_value(parameter, offset + i);
  });
}

// One forward, and one backward whose gradients are 1 everywhere.
void train(sharded_optimizer& optimizer) {
  const auto& units = optimizer.layout().model().units;
  const int count = static_cast<int>(units.size());
  optimizer.begin_micro_batch();
  for (int unit = 0; unit < count; ++unit) optimizer.gather(unit).release();
  for (int unit = count - 1; unit >= 0; --unit) {
    optimizer.gather(unit).release();
    const unit_gradients taken = optimizer.gradients(unit);
    for (std::size_t i = 0; i < units[static_cast<std::size_t>(unit)].parameters.size(); ++i) {
      const typed_span gradient = taken.gradient(i);
      for (std::uint64_t e = 0; e < gradient.count; ++e) static_cast<float*>(gradient.data)[e] = 1;
    }
    optimizer.reduce(unit);
  }
  static_cast<void>(optimizer.step(0.1F));
}

class calls : public ::testing::TestWithParam<int> {
 protected:
  sights seen(const partition::model_spec& model, tier rests, const body& what) {
    sights all(static_cast<std::size_t>(GetParam()));
    const auto errors = try_ranks(GetParam(), [&](collectives::communicator& ranks) {
      ranks.set_deadline(std::chrono::seconds(5));
      std::string& own = all[static_cast<std::size_t>(ranks.rank())];
      sharded_optimizer optimizer(ranks, model, options_on(rests, scratch_.path()));
      try {
        own = what(optimizer, ranks.rank());
      } catch (const error& refused) {
        own = std::string("refused: ") + refused.what();
      }
    });
    for (const auto& error : errors) EXPECT_EQ(error, nullptr);
    return all;
  }
  void expect_same(const partition::model_spec& model, const body& what) {
    const sights right = seen(model, tier::device, what);
    EXPECT_EQ(seen(model, tier::host, what), right) << "on the host";
    EXPECT_EQ(seen(model, tier::disk, what), right) << "on the disk";
  }

  scratch_directory scratch_;
};
INSTANTIATE_TEST_SUITE_P(worlds, calls, ::testing::Values(1, 2, 3));

partition::model_spec model_of(std::vector<partition::unit_spec> units) {
  return {std::move(units)};
}

TEST_P(calls, a_model_of_nothing_trains) {
  expect_same(model_of({{"a", {{"none", {0, 3}}}}, {"b", {}}}), [](sharded_optimizer& o, int) {
    fill(o);
    train(o);
    return to_hex(o.parameters_digest());
  });
}

TEST_P(calls, a_model_that_is_frozen_is_left_as_it_is) {
  partition::parameter_spec frozen{"w", {4099}};
  frozen.trainable = false;
  expect_same(model_of({{"a", {frozen}}}), [](sharded_optimizer& o, int) {
    fill(o);
    train(o);
    return to_hex(o.parameters_digest());
  });
}

// Of which only the first rank holds anything.
TEST_P(calls, small_parameters_are_read_between_uses) {
  const auto model = model_of({{"a", {{"x", {5}}}}, {"b", {{"y", {7}}}}, {"c", {{"z", {3}}}}});
  expect_same(model, [](sharded_optimizer& o, int) {
    fill(o);
    train(o);
    std::string all = to_hex(o.parameters_digest());
    train(o);
    return all + to_hex(o.parameters_digest());
  });
}

TEST_P(calls, one_unit_is_read_between_two_uses) {
  expect_same(model_of({{"a", {{"x", {700}}}}}), [](sharded_optimizer& o, int) {
    fill(o);
    o.begin_micro_batch();
    o.gather(0).release();
    std::string all = to_hex(o.parameters_digest());
    o.gather(0).release();
    return all + to_hex(o.parameters_digest());
  });
}

TEST_P(calls, beginning_again_is_the_same) {
  expect_same(toy_model(dtype::fp32, 7), [](sharded_optimizer& o, int) {
    fill(o);
    for (int i = 0; i < 3; ++i) train(o);
    fill(o);
    train(o);
    return to_hex(o.parameters_digest());
  });
}

TEST_P(calls, what_was_never_set_is_zero_or_refused) {
  const auto use = [](sharded_optimizer& o, int) {
    train(o);
    return to_hex(o.parameters_digest());
  };
  const sights right = seen(toy_model(dtype::fp32, 7), tier::device, use);
  EXPECT_EQ(seen(toy_model(dtype::fp32, 7), tier::host, use), right);
  if (GetParam() > 1) return;  // whom it reaches first is told of by the others
  const sights refused = seen(toy_model(dtype::fp32, 7), tier::disk, use);
  EXPECT_NE(refused[0].find("never written"), std::string::npos) << refused[0];
}

// Those on the device need no slot to be read.
TEST_P(calls, masters_below_are_not_read_while_a_unit_is_held) {
  const auto use = [](sharded_optimizer& o, int) {
    fill(o);
    o.begin_micro_batch();
    const gathered_unit held = o.gather(1);
    const std::string all = to_hex(o.parameters_digest());
    return all + std::to_string(static_cast<const float*>(held.parameter(0).data)[6999]);
  };
  for (const std::string& one : seen(toy_model(dtype::fp32, 7), tier::device, use)) {
    EXPECT_EQ(one.find("refused"), std::string::npos) << one;
  }
  for (const tier rests : {tier::host, tier::disk}) {
    for (const std::string& one : seen(toy_model(dtype::fp32, 7), rests, use)) {
      EXPECT_NE(one.find("refused: [engine.stream_master] unit 'second'"), std::string::npos)
          << one;
    }
  }
}

TEST_P(calls, a_client_that_throws_while_masters_are_read_can_go_on) {
  if (GetParam() > 1) GTEST_SKIP() << "the others would wait for what it does not do any more";
  expect_same(toy_model(dtype::fp32, 7), [](sharded_optimizer& o, int) {
    fill(o);
    train(o);
    try {
      o.stream_master([](std::size_t parameter, std::uint64_t, span<const float>) {
        if (parameter == 3) throw std::runtime_error("no more");
      });
    } catch (const std::runtime_error&) {
    }
    fill(o);
    const std::string all = to_hex(o.parameters_digest());
    train(o);
    return all + to_hex(o.parameters_digest());
  });
}

// Destroyed with gathers and spills under way.
TEST_P(calls, an_end_in_the_middle_of_a_micro_batch_leaves_nothing) {
  for (const int how_far : {1, 2, 3}) {
    expect_same(toy_model(dtype::fp32, 64), [how_far](sharded_optimizer& o, int) {
      fill(o);
      train(o);
      o.begin_micro_batch();
      o.gather(3).release();
      static_cast<void>(o.gradients(3));
      if (how_far > 1) o.reduce(3);
      if (how_far > 2) o.gather(1).release();
      return std::string("gone");
    });
    EXPECT_TRUE(scratch_.empty());
  }
}

}  // namespace
}  // namespace zero::testing
