#include <zero/base/error.hpp>
#include <zero/optim/schedule.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace zero::testing {
namespace {

using optim::decay_shape;
using optim::learning_rate_schedule;

learning_rate_schedule of(decay_shape shape, std::uint64_t warmup, std::uint64_t total,
                          float final_fraction = 0.1F) {
  learning_rate_schedule s;
  s.peak = 0.5F;
  s.final_fraction = final_fraction;
  s.warmup_steps = warmup;
  s.total_steps = total;
  s.shape = shape;
  return s;
}

constexpr decay_shape shapes[] = {decay_shape::constant, decay_shape::linear, decay_shape::cosine};

TEST(schedule, constant_without_warm_up) {
  const learning_rate_schedule s = of(decay_shape::constant, 0, 100);
  for (const std::uint64_t step : {1, 50, 100, 101, 100000}) EXPECT_EQ(s.at(step), 0.5F);
}

TEST(schedule, warm_up_is_linear_for_every_shape) {
  for (const decay_shape shape : shapes) {
    const learning_rate_schedule s = of(shape, 10, 100);
    for (std::uint64_t step = 1; step <= 10; ++step) {
      EXPECT_FLOAT_EQ(s.at(step), 0.05F * static_cast<float>(step)) << step;
    }
    EXPECT_EQ(s.at(10), 0.5F);
  }
}

TEST(schedule, linear_decay) {
  const learning_rate_schedule s = of(decay_shape::linear, 10, 110);
  EXPECT_FLOAT_EQ(s.at(11), 0.5F * (1.0F - 0.9F * 0.01F));
  EXPECT_FLOAT_EQ(s.at(60), 0.5F * 0.55F);
  EXPECT_FLOAT_EQ(s.at(109), 0.5F * (0.1F + 0.9F * 0.01F));
  for (const std::uint64_t step : {110, 111, 5000}) EXPECT_FLOAT_EQ(s.at(step), 0.05F);
}

TEST(schedule, cosine_decay) {
  const learning_rate_schedule s = of(decay_shape::cosine, 10, 110);
  const double pi = std::acos(-1.0);
  for (const std::uint64_t step : {11, 35, 60, 85, 109}) {
    const double done = (static_cast<double>(step) - 10.0) / 100.0;
    const double factor = 0.1 + 0.9 * (std::cos(pi * done) + 1.0) / 2.0;
    EXPECT_FLOAT_EQ(s.at(step), static_cast<float>(0.5 * factor)) << step;
  }
  EXPECT_FLOAT_EQ(s.at(60), 0.5F * 0.55F);
  for (const std::uint64_t step : {110, 111, 5000}) EXPECT_FLOAT_EQ(s.at(step), 0.05F);
}

TEST(schedule, ends_at_zero_by_default) {
  learning_rate_schedule s;
  s.shape = decay_shape::cosine;
  s.total_steps = 7;
  EXPECT_EQ(s.at(7), 0.0F);
  EXPECT_GT(s.at(6), 0.0F);
}

TEST(schedule, without_an_end_there_is_no_decay) {
  for (const decay_shape shape : shapes) {
    const learning_rate_schedule s = of(shape, 4, 0);
    EXPECT_EQ(s.at(2), 0.25F);
    for (const std::uint64_t step : {4, 5, 100000}) EXPECT_EQ(s.at(step), 0.5F);
  }
}

TEST(schedule, warm_up_as_long_as_the_run_or_longer) {
  for (const decay_shape shape : {decay_shape::linear, decay_shape::cosine}) {
    for (const std::uint64_t total : {5, 10}) {
      const learning_rate_schedule s = of(shape, 10, total);
      EXPECT_FLOAT_EQ(s.at(7), 0.35F);
      EXPECT_EQ(s.at(10), 0.5F);
      EXPECT_FLOAT_EQ(s.at(11), 0.05F);
    }
  }
}

TEST(schedule, never_rises_after_the_warm_up) {
  for (const decay_shape shape : shapes) {
    const learning_rate_schedule s = of(shape, 3, 50);
    for (std::uint64_t step = 3; step < 60; ++step) EXPECT_GE(s.at(step), s.at(step + 1)) << step;
  }
}

TEST(schedule, names_and_back) {
  for (const decay_shape shape : shapes) {
    EXPECT_EQ(optim::parse_decay_shape(optim::name_of(shape)), shape);
  }
  EXPECT_STREQ(optim::name_of(static_cast<decay_shape>(99)), "unknown");
  EXPECT_THROW(static_cast<void>(optim::parse_decay_shape("Cosine")), invalid_argument);
  EXPECT_THROW(static_cast<void>(optim::parse_decay_shape("")), invalid_argument);
}

}  // namespace
}  // namespace zero::testing
