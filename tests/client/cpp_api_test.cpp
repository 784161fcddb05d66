// The C++ interface: what trains through its scopes ends where a plain loop does, at every stage,
// by the built-in rule, by a function of the trainer's own and by an optimizer class of its own.

#include "cpp_api_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>

static_assert(!std::is_copy_constructible_v<zero::optimizer>);
static_assert(std::is_nothrow_move_constructible_v<zero::optimizer>);
static_assert(std::is_nothrow_move_assignable_v<zero::optimizer>);
static_assert(!std::is_copy_constructible_v<zero::ranks>);
static_assert(std::is_nothrow_move_constructible_v<zero::ranks>);
static_assert(!std::is_copy_constructible_v<zero::unit_scope>);
static_assert(std::is_nothrow_move_constructible_v<zero::unit_scope>);
static_assert(std::is_nothrow_destructible_v<zero::unit_scope>);
static_assert(std::is_base_of_v<zero_config, zero::config>);
static_assert(std::is_base_of_v<std::runtime_error, zero::client_error>);
// Ranks that end before the optimizer are not taken.
static_assert(!std::is_constructible_v<zero::optimizer, zero::config, zero::ranks>);
static_assert(std::is_constructible_v<zero::optimizer, zero::config, zero::ranks&>);

namespace zero::test {
namespace {

constexpr int steps = 5;
constexpr double rate = 0.125;
constexpr double friction = 0.5;

// Momentum as a trainer has it: an array of its own for each shard.
class own_momentum {
 public:
  explicit own_momentum(const std::vector<shard_view>& shards) : shards_(shards) {
    for (const shard_view& shard : shards_) velocity_.emplace_back(shard.count());
  }
  void step() {
    for (std::size_t s = 0; s < shards_.size(); ++s) {
      for (std::size_t i = 0; i < shards_[s].count(); ++i) {
        velocity_[s][i] = static_cast<float>(friction) * velocity_[s][i] + shards_[s].gradient[i];
        shards_[s].master[i] -= static_cast<float>(rate) * velocity_[s][i];
      }
    }
    ++calls;
  }
  int calls = 0;

 private:
  std::vector<shard_view> shards_;
  std::vector<std::vector<float>> velocity_;
};

void plain_momentum(double& weight, double gradient, double& velocity) {
  velocity = friction * velocity + gradient;
  weight -= rate * velocity;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& right) {
  ASSERT_EQ(got.size(), right.size());
  for (std::size_t i = 0; i < right.size(); ++i) {
    EXPECT_NEAR(got[i], right[i], 2e-5 * (1 + std::abs(right[i]))) << i;
  }
}

class cpp_api : public ::testing::TestWithParam<std::tuple<int, int>> {
 protected:
  static int world() { return std::get<0>(GetParam()); }
  static int stage() { return std::get<1>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(worlds_and_stages, cpp_api,
                         ::testing::Combine(::testing::Values(1, 2, 3, 7),
                                            ::testing::Values(0, 1, 2, 3)));

TEST_P(cpp_api, a_built_in_rule_is_a_plain_loop) {
  everywhere(world(), [&](ranks& among) {
    config how = config_of(stage(), ZERO_SGD);
    how.group.momentum = static_cast<float>(friction);
    optimizer z(how, among);
    model own(z);
    for (int step = 0; step < steps; ++step) {
      own.gradients(step);
      EXPECT_EQ(z.step(rate, z.rank()), (world() - 1) / 2.0);  // the mean of losses
    }
    EXPECT_EQ(z.last_step().step, static_cast<std::uint64_t>(steps));
    expect_near(own.whole(), plain(world(), steps, plain_momentum));
  });
}

TEST_P(cpp_api, a_function_sees_each_element_once) {
  std::mutex together;
  std::vector<int> seen(elements);
  everywhere(world(), [&](ranks& among) {
    config how = config_of(stage(), ZERO_OWN_RULE);
    how.own_states = 1;
    optimizer z(how, among);
    z.use_stream(nullptr);  // on the host there is none
    model own(z);
    for (int step = 0; step < steps; ++step) {
      own.gradients(step);
      z.step_with(rate, [&](const update_range& range) {
        EXPECT_EQ(range.step(), static_cast<std::uint64_t>(step) + 1);
        EXPECT_EQ(range.learning_rate(), rate);
        EXPECT_EQ(range.states(), 1);
        EXPECT_FALSE(range.on_device());
        for (std::size_t i = 0; i < range.count(); ++i) {
          float& velocity = range.state(0)[i];
          velocity = static_cast<float>(friction) * velocity + range.gradient()[i];
          range.master()[i] -= static_cast<float>(rate) * velocity;
        }
        const int unit = range.name() == "first" ? 0 : 1 + range.slice();
        const std::lock_guard lock(together);
        for (std::size_t i = 0; i < range.count(); ++i) {
          ++seen[begin_of(unit) + range.offset() + i];
        }
      });
    }
    expect_near(own.whole(), plain(world(), steps, plain_momentum));
  });
  for (const int times : seen) EXPECT_EQ(times, stage() == 0 ? steps * world() : steps);
}

TEST_P(cpp_api, an_optimizer_class_steps_over_views_that_stay) {
  std::vector<std::vector<float>> results(static_cast<std::size_t>(world()));
  everywhere(world(), [&](ranks& among) {
    optimizer z(config_of(stage(), ZERO_OWN_RULE), among);
    model own(z);
    auto inner = wrap_with(z, [](const std::vector<shard_view>& shards) {
      return std::make_unique<own_momentum>(shards);
    });
    std::vector<const float*> addresses;
    for (const shard_view& view : inner.shards()) addresses.push_back(view.master.data());
    for (int step = 0; step < steps; ++step) {
      own.gradients(step);
      EXPECT_TRUE(inner.step());
      EXPECT_EQ(inner.inner().calls, step + 1);
    }
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      EXPECT_EQ(inner.shards()[i].master.data(), addresses[i]);
    }
    expect_near(own.whole(), plain(world(), steps, plain_momentum));
    results[static_cast<std::size_t>(z.rank())] = own.whole();
  });
  for (const std::vector<float>& result : results) {
    EXPECT_EQ(std::memcmp(result.data(), results[0].data(), elements * sizeof(float)), 0);
  }
}

// The same bits wherever shards rest.
TEST_P(cpp_api, rules_of_ones_own_on_every_tier) {
  std::vector<float> by_function;
  std::vector<float> by_class;
  for (const int tier : {ZERO_ON_DEVICE, ZERO_ON_HOST, ZERO_ON_DISK}) {
    everywhere(world(), [&](ranks& among) {
      config how = config_of(stage(), ZERO_OWN_RULE);
      how.optimizer_tier = tier;
      optimizer z(how, among);
      model own(z);
      const auto plain_sgd = [](const update_range& range) {
        for (std::size_t i = 0; i < range.count(); ++i) {
          range.master()[i] -= static_cast<float>(rate) * range.gradient()[i];
        }
      };
      for (int step = 0; step < steps; ++step) {
        own.gradients(step);
        z.step_with(rate, plain_sgd);
      }
      const std::vector<float> got = own.whole();
      if (z.rank() != 0) return;
      if (by_function.empty()) by_function = got;
      EXPECT_EQ(got, by_function) << tier;
    });
    if (tier == ZERO_ON_DISK) continue;  // not wrapped
    everywhere(world(), [&](ranks& among) {
      config how = config_of(stage(), ZERO_OWN_RULE);
      how.optimizer_tier = tier;
      optimizer z(how, among);
      model own(z);
      auto inner = wrap_with(z, [](const std::vector<shard_view>& shards) {
        return std::make_unique<own_momentum>(shards);
      });
      for (int step = 0; step < steps; ++step) {
        own.gradients(step);
        EXPECT_TRUE(inner.step());
      }
      const std::vector<float> got = own.whole();
      if (z.rank() != 0) return;
      if (by_class.empty()) by_class = got;
      EXPECT_EQ(got, by_class) << tier;
    });
  }
}

TEST_P(cpp_api, a_step_left_out_is_left_out_of_the_class_too) {
  everywhere(world(), [&](ranks& among) {
    optimizer z(config_of(stage(), ZERO_OWN_RULE), among);
    model own(z);
    auto inner = wrap_with(z, [](const std::vector<shard_view>& shards) {
      return std::make_shared<own_momentum>(shards);
    });
    const std::vector<float> before = own.whole();
    own.gradients(0);
    if (z.rank() == world() - 1) z.skip();
    EXPECT_FALSE(inner.step());
    EXPECT_EQ(inner.inner().calls, 0);
    EXPECT_EQ(own.whole(), before);
    own.gradients(0);
    EXPECT_TRUE(inner.step());
    expect_near(own.whole(), plain(world(), 1, plain_momentum));
  });
}

TEST_P(cpp_api, weights_changed_elsewhere_reach_the_views) {
  everywhere(world(), [&](ranks& among) {
    optimizer z(config_of(stage(), ZERO_OWN_RULE), among);
    model own(z);
    auto inner = wrap_with(z, [](const std::vector<shard_view>& shards) {
      return std::make_unique<own_momentum>(shards);
    });
    std::vector<float> twos(elements_of_slice, 2.0F);
    z.write_state("stack", 1, ZERO_MASTER, twos);
    own.gradients(0);
    // The mean of (2 - goal) * (r + 1) over ranks, at step 0.
    const double factor = (world() + 1) / 2.0;
    ASSERT_TRUE(inner.step());
    const std::vector<float> now = own.whole();
    for (std::size_t i = begin_of(2); i < elements; ++i) {
      EXPECT_NEAR(now[i], 2.0 - rate * (2.0 - goal(i)) * factor, 1e-5) << i;
    }
  });
}

TEST_P(cpp_api, states_in_and_out) {
  everywhere(world(), [&](ranks& among) {
    config how = config_of(stage(), ZERO_ADAMW);
    how.extra_states = 1;
    optimizer z(how, among);
    model own(z);
    std::vector<float> values(elements_of_slice);
    std::iota(values.begin(), values.end(), 3.0F);
    z.write_state("stack", 0, 2, values);
    std::vector<float> read(elements_of_slice);
    z.read_state("stack", 0, 2, read);
    EXPECT_EQ(read, values);
    std::size_t own_elements = 0;
    z.visit(ZERO_READ | ZERO_WRITE, [&](const update_range& range) {
      EXPECT_FALSE(range.has_gradient());
      EXPECT_THROW(static_cast<void>(range.gradient()), refused_call);
      for (float& value : range.master()) value = 8.0F;
      own_elements += range.count();
    });
    for (const float value : own.whole()) EXPECT_EQ(value, 8.0F);
    double sums[2] = {static_cast<double>(own_elements), 1.0};
    z.sum(sums);
    EXPECT_EQ(sums[0], static_cast<double>(elements * (stage() == 0 ? world() : 1)));
    EXPECT_EQ(sums[1], world());
    const std::string before = z.digest();
    EXPECT_EQ(before.size(), 32U);
    z.swap(2);
    EXPECT_NE(z.digest(), before);
    z.swap(2);
    EXPECT_EQ(z.digest(), before);
    EXPECT_GT(z.memory().measured.optimizer, 0U);
    EXPECT_NE(z.report_json().find("zero.memory/1"), std::string::npos);
    EXPECT_EQ(z.configuration().extra_states, 1);
    EXPECT_EQ(z.loss_scale(), 1);
    EXPECT_EQ(z.size(), world());
    EXPECT_EQ(z.local_rank(), z.rank());
  });
}

TEST(cpp_api_placed, memory_of_the_library_is_asked_for_in_its_scope) {
  everywhere(2, [](ranks& among) {
    optimizer z(config_of(3, ZERO_SGD), among);
    zero_segment segment = segment_of("only", {}, {}, 0);
    segment.count = 5;
    z.attach(segment);
    z.commit();
    {
      const auto in = z.full(ZERO_ON_ALL, ZERO_WRITE);
      for (int i = 0; i < 5; ++i) z.parameter("only")[i] = static_cast<float>(i);
    }
    { const auto in = z.forward(0); }
    {
      const auto in = z.backward(0);
      EXPECT_EQ(z.parameter("only")[4], 4.0F);
      for (int i = 0; i < 5; ++i) z.gradient("only")[i] += static_cast<float>(z.rank());
    }
    EXPECT_DOUBLE_EQ(z.gradient_norm() * z.gradient_norm(), 5 * 0.25);
    z.step(1.0);
    std::vector<float> now(5);
    z.read_state("only", 0, ZERO_MASTER, now);
    for (int i = 0; i < 5; ++i)
      EXPECT_EQ(now[static_cast<std::size_t>(i)], static_cast<float>(i) - 0.5F);
  });
}

// Weights of 16 bits have master weights beside them; their gradients are as they were asked for.
TEST(cpp_api_halves, gradients_are_shown_in_fp32_or_not_at_all) {
  for (const bool wide : {true, false}) {
    everywhere(2, [&](ranks& among) {
      config how = config_of(1, ZERO_OWN_RULE);
      how.gradient_dtype = wide ? ZERO_FP32 : -1;
      optimizer z(how, among);
      std::vector<std::uint16_t> weights(300, 0x3F80);    // bf16 of 1
      std::vector<std::uint16_t> gradients(300, 0x4000);  // what is there before is none
      zero_segment segment{};
      segment.name = "halves";
      segment.parameter = weights.data();
      segment.gradient = gradients.data();
      segment.count = weights.size();
      segment.dtype = ZERO_BF16;
      z.attach(segment);
      z.commit();
      gradients.assign(gradients.size(), 0x4000);  // 2
      z.step_with(0.5, [&](const update_range& range) {
        if (!wide) {
          EXPECT_THROW(static_cast<void>(range.gradient()), refused_call);
          return;
        }
        EXPECT_EQ(range.gradient()[0], 2.0F);
        for (float& weight : range.master()) weight = 3.0F;
      });
      for (const std::uint16_t weight : weights) ASSERT_EQ(weight, wide ? 0x4040 : 0x3F80);
      EXPECT_EQ(gradients[7], 0);
    });
  }
}

}  // namespace
}  // namespace zero::test
