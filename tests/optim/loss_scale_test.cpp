#include <zero/base/error.hpp>
#include <zero/optim/loss_scale.hpp>

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace zero::testing {
namespace {

using optim::loss_scale;
using optim::loss_scale_options;

loss_scale_options dynamic_options() {
  loss_scale_options o;
  o.dynamic = true;
  o.initial = 16.0F;
  o.growth_interval = 3;
  o.minimum = 2.0F;
  o.maximum = 64.0F;
  return o;
}

// The scale after each step of a history: '.' is a clean step, 'x' an overflow.
std::vector<float> scales(const loss_scale_options& options, const std::string& history) {
  loss_scale scale(options);
  std::vector<float> values;
  for (const char c : history) {
    scale.record(c == 'x');
    values.push_back(scale.value());
  }
  return values;
}

using values = std::vector<float>;

TEST(loss_scale, static_scale_never_changes) {
  loss_scale_options o;
  EXPECT_EQ(loss_scale().value(), 1.0F);
  o.initial = 1024.0F;
  o.growth_interval = 1;
  EXPECT_EQ(scales(o, "..xx.."), values(6, 1024.0F));
}

TEST(loss_scale, grows_after_every_interval_up_to_the_maximum) {
  EXPECT_EQ(scales(dynamic_options(), "............"),
            (values{16, 16, 32, 32, 32, 64, 64, 64, 64, 64, 64, 64}));
}

TEST(loss_scale, falls_at_every_overflow_down_to_the_minimum) {
  EXPECT_EQ(scales(dynamic_options(), "xxxxx"), (values{8, 4, 2, 2, 2}));
}

TEST(loss_scale, an_overflow_starts_the_interval_anew) {
  EXPECT_EQ(scales(dynamic_options(), "..x..x..."), (values{16, 16, 8, 8, 8, 4, 4, 4, 8}));
}

TEST(loss_scale, hysteresis_tolerates_until_the_scale_has_grown_again) {
  loss_scale_options o = dynamic_options();
  o.hysteresis = 3;
  // Two tolerated, the third and those after it fall; growth forgives.
  EXPECT_EQ(scales(o, "x.xxx...xxx"), (values{16, 16, 16, 8, 4, 4, 4, 8, 8, 8, 4}));
}

TEST(loss_scale, factors_of_ones_own) {
  loss_scale_options o = dynamic_options();
  o.growth = 3.0F;
  o.backoff = 0.25F;
  EXPECT_EQ(scales(o, "...x...xx"), (values{16, 16, 48, 12, 12, 12, 36, 9, 2.25F}));
}

TEST(loss_scale, a_saved_state_goes_on_where_it_was) {
  loss_scale_options o = dynamic_options();
  o.hysteresis = 2;
  const std::string history = "..x..x...xx.....x..";
  for (std::size_t cut = 0; cut <= history.size(); ++cut) {
    loss_scale first(o);
    for (std::size_t i = 0; i < cut; ++i) first.record(history[i] == 'x');
    loss_scale second(o);
    second.load(first.save());
    values rest;
    for (std::size_t i = cut; i < history.size(); ++i) {
      second.record(history[i] == 'x');
      rest.push_back(second.value());
    }
    const values whole = scales(o, history);
    EXPECT_EQ(rest, values(whole.begin() + static_cast<std::ptrdiff_t>(cut), whole.end()));
  }
}

TEST(loss_scale, refuses_options_that_cannot_be) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto refused = [](auto change) {
    loss_scale_options o = dynamic_options();
    change(o);
    EXPECT_THROW(loss_scale{o}, invalid_argument);
  };
  for (const float bad : {0.0F, -1.0F, infinity, nan}) {
    refused([&](loss_scale_options& o) { o.initial = bad; });
    refused([&](loss_scale_options& o) { o.dynamic = false, o.initial = bad; });
  }
  refused([](loss_scale_options& o) { o.minimum = 0.0F; });
  refused([](loss_scale_options& o) { o.minimum = 17.0F; });
  refused([](loss_scale_options& o) { o.maximum = 15.0F; });
  refused([&](loss_scale_options& o) { o.maximum = infinity; });
  refused([](loss_scale_options& o) { o.growth = 0.5F; });
  refused([&](loss_scale_options& o) { o.growth = infinity; });
  refused([](loss_scale_options& o) { o.backoff = 0.0F; });
  refused([](loss_scale_options& o) { o.backoff = 1.5F; });
  refused([](loss_scale_options& o) { o.growth_interval = 0; });
  refused([](loss_scale_options& o) { o.hysteresis = 0; });
}

TEST(loss_scale, a_static_scale_needs_no_sensible_dynamics) {
  loss_scale_options o;
  o.minimum = 0.0F;
  o.growth_interval = 0;
  EXPECT_NO_THROW(loss_scale{o});
}

}  // namespace
}  // namespace zero::testing
